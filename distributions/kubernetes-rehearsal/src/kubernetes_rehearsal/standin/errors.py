"""Failures of the Kubernetes API: a Status with a reason, and for invalid objects a cause for each field."""

import json
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """A refused request.

    :param code: HTTP status.
    :param reason: the reason in the Status.
    :param details: the ``StatusDetails``.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Object:
        """The response's body."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    subject = f'{_resource(group, plural)} "{name}"' if name else _resource(group, plural)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", {"group": group, "kind": plural, "name": name})


def no_such_page() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def not_found(group: str, plural: str, name: str) -> ApiError:
    details = {"group": group, "kind": plural, "name": name}
    return ApiError(404, "NotFound", f'{_resource(group, plural)} "{name}" not found', details)


def already_exists(group: str, plural: str, name: str) -> ApiError:
    details = {"group": group, "kind": plural, "name": name}
    return ApiError(409, "AlreadyExists", f'{_resource(group, plural)} "{name}" already exists', details)


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {_resource(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, {"group": group, "kind": plural, "name": name})


def unsupported_media_type(content_type: str, accepted: list[str]) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiError(415, "UnsupportedMediaType", message, {"name": content_type})


def _resource(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong with one field.

    :param reason: such as ``FieldValueInvalid``.
    :param field: path, such as ``spec.containers[0].name``.
    """

    reason: str
    field: str
    message: str


class Problems:
    """Collects the mistakes of an object, with the API server's messages."""

    def __init__(self) -> None:
        self.causes: list[Cause] = []

    def required(self, field: str, detail: str = "") -> None:
        """The field is required."""
        self._add("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))

    def invalid(self, field: str, value: Any, detail: str) -> None:
        """The value breaks a rule."""
        self._add("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")

    def duplicate(self, field: str, value: Any) -> None:
        """The value is a duplicate."""
        self._add("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")

    def forbidden(self, field: str, detail: str) -> None:
        """The field may not be set here, or not be changed."""
        self._add("FieldValueForbidden", field, f"Forbidden: {detail}")

    def unsupported(self, field: str, value: Any, allowed: list[str]) -> None:
        """The value is not one of the allowed values."""
        values = ", ".join(json.dumps(one) for one in sorted(allowed))
        self._add("FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {values}")

    def not_found(self, field: str, value: Any) -> None:
        """The value refers to something that does not exist."""
        self._add("FieldValueNotFound", field, f"Not found: {_shown(value)}")

    def too_long(self, field: str, most: int, unit: str = "bytes") -> None:
        """The value has more bytes or items than allowed."""
        self._add("FieldValueTooLong", field, f"Too long: may not be more than {most} {unit}")

    def wrong_type(self, field: str, value: Any, wanted: str) -> None:
        """The value is of another type."""
        shown = json.dumps(json_type(value))
        text = f"{field} in body must be of type {wanted}: {shown}"
        self._add("FieldValueTypeInvalid", field, f"Invalid value: {shown}: {text}")

    def one_of(self, field: str, value: Any, allowed: list[str]) -> None:
        """Check that the value is one of those allowed."""
        if value not in allowed:
            self.unsupported(field, value, allowed)

    def raise_for(self, kind: str, group: str, name: str) -> None:
        """:raises ApiError: 422 with all causes, where there are any."""
        if not self.causes:
            return
        shown = [f"{cause.field}: {cause.message}" for cause in self.causes]
        text = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
        causes = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in self.causes]
        subject = f"{kind}.{group}" if group else kind
        details = {"group": group, "kind": kind, "name": name, "causes": causes}
        raise ApiError(422, "Invalid", f'{subject} "{name}" is invalid: {text}', details)

    def _add(self, reason: str, field: str, message: str) -> None:
        self.causes.append(Cause(reason, field, message))


def json_type(value: Any) -> str:
    """The JSON name of a value's type."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
