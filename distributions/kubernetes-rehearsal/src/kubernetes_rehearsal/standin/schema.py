"""Reads built-in objects as the API server does: by the schema of their kind, with its defaults."""

import base64
import binascii
import functools
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.standin.errors import Object, bad_request, json_type
from kubernetes_rehearsal.standin.formats import quantity

_FOLDER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_SCHEMA = "#/$defs/io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_WITHOUT_FIELDS = "CustomResourceSubresourceStatus"
_RANGES = {"int32": 2**31, "int64": 2**63}


class Definitions:
    """The schemas of one Kubernetes minor, by definition and by kind."""

    def __init__(self, document: Object) -> None:
        self._schemas: dict[str, Object] = document["$defs"]
        self._kinds = {
            (kind["group"], kind["version"], kind["kind"]): name
            for name, schema in self._schemas.items()
            for kind in schema.get("x-kubernetes-group-version-kind", [])
        }

    def of_kind(self, group: str, version: str, kind: str) -> Object:
        """A reference to the schema of a kind."""
        return {"$ref": f"#/$defs/{self._kinds[(group, version, kind)]}"}

    def has_kind(self, group: str, version: str, kind: str) -> bool:
        """Whether this minor knows the kind."""
        return (group, version, kind) in self._kinds

    def resolve(self, schema: Object) -> tuple[str, Object]:
        """The definition's name, empty if the schema is written in place, and the schema itself."""
        if "$ref" not in schema:
            return "", schema
        name = schema["$ref"].removeprefix("#/$defs/")
        return name, {**self._schemas[name], **{key: schema[key] for key in schema if key.startswith("x-")}}


@functools.cache
def definitions(minor: str) -> Definitions:
    """The schemas of a Kubernetes minor.

    :raises KubernetesError: if the package of schemas has none for it.
    """
    file = _FOLDER / f"v{minor}.0-local-strict" / "_definitions.json"
    if not file.exists():
        there = sorted(folder.name[1:-15] for folder in _FOLDER.glob("v*-local-strict"))
        raise KubernetesError(f"Kubernetes {minor}: no schemas for the stand-in; there are {', '.join(there)}")
    return Definitions(json.loads(file.read_text(encoding="utf-8")))


class Reader:
    """Reads one object: fields that are null count as absent, unknown fields are left out and remembered.

    :param defaults: called with the short name of a definition and each object of that definition.
    """

    def __init__(self, known: Definitions, defaults: Callable[[str, Object], None]) -> None:
        self._known = known
        self._defaults = defaults
        self.unknown: list[str] = []

    def read(self, schema: Object, value: Any) -> Object:
        """The object in stored form. An omitted spec is added with its defaults.

        :raises ApiError: if the type of a value differs from that of its field.
        """
        found: Object = self._read(schema, value, "")
        spec = self._known.resolve(schema)[1].get("properties", {}).get("spec")
        if spec is not None and "spec" not in found:
            found["spec"] = self._read(spec, {}, "spec")
        return found

    def _read(self, schema: Object, value: Any, path: str) -> Any:
        name, schema = self._known.resolve(schema)
        if name in (_INT_OR_STRING, _QUANTITY):
            return _read_scalar_union(name, value, path)
        types = schema.get("type")
        if types is None:
            return self._read_nested_schema(name, value, path)
        kind = types if isinstance(types, str) else types[0]
        if kind == "object":
            return self._read_object(name, schema, value, path)
        if kind == "array":
            _check(value, list, path, "array")
            return [self._item(schema["items"], item, f"{path}[{index}]") for index, item in enumerate(value)]
        return _read_scalar(kind, schema.get("format"), value, path)

    def _read_nested_schema(self, name: str, value: Any, path: str) -> Any:
        """Untyped values: any JSON, or a schema inside a definition, which are not validated strictly."""
        if name.endswith("JSONSchemaPropsOrBool") and not isinstance(value, (bool, dict)):
            raise bad_request("boolean or JSON schema expected")
        if "JSONSchemaPropsOr" not in name or not isinstance(value, dict):
            return value
        known = list(self.unknown)
        found = self._read({"$ref": _SCHEMA}, value, path)
        self.unknown = known
        return found

    def _item(self, schema: Object, item: Any, path: str) -> Any:
        return self._read(schema, _zero(*self._known.resolve(schema)) if item is None else item, path)

    def _read_object(self, name: str, schema: Object, value: Any, path: str) -> Object:
        _check(value, dict, path, "object")
        if "properties" not in schema:
            extra = schema.get("additionalProperties")
            if not isinstance(extra, dict):
                if name.endswith(_WITHOUT_FIELDS):
                    self.unknown += [f'unknown field "{path}.{key}"' for key in value]
                return dict(value)
            return {key: self._item(extra, item, f"{path}.{key}") for key, item in value.items()}
        found = {}
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            field = schema["properties"].get(key)
            if field is None:
                self.unknown.append(f'unknown field "{place}"')
            elif item is not None:
                found[key] = self._read(field, item, place)
        self._defaults(name.rpartition(".")[2], found)
        return found


def _read_scalar(kind: str, form: str | None, value: Any, path: str) -> Any:
    match kind:
        case "string":
            _check(value, str, path, "string")
            _check_text(form, value, path)
        case "boolean":
            _check(value, bool, path, "bool")
        case "integer":
            limit = _RANGES.get(form or "", 2**63)
            if isinstance(value, bool) or not isinstance(value, int) or not -limit <= value < limit:
                raise _mismatch(value, path, form or "int64")
        case "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise _mismatch(value, path, "float64")
    return value


def _read_scalar_union(name: str, value: Any, path: str) -> Any:
    if name == _QUANTITY:
        if quantity(value) is None:
            raise bad_request(
                f"json: {path}: quantities must match the regular expression "
                f"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$', got {json.dumps(value)}"
            )
    elif isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _mismatch(value, path, "intstr.IntOrString")
    elif isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise _mismatch(value, path, "int32")
    return value


def _check_text(form: str | None, value: str, path: str) -> None:
    try:
        if form == "byte":
            base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True)
        elif form == "date-time":
            datetime.fromisoformat(value)
    except binascii.Error as error:
        raise bad_request(f"json: {path}: illegal base64 data: {error}") from error
    except ValueError as error:
        raise bad_request(f"json: {path}: parsing time {value!r}: {error}") from error


def _check(value: Any, wanted: type, path: str, name: str) -> None:
    if not isinstance(value, wanted):
        raise _mismatch(value, path, name)


def _mismatch(value: Any, path: str, wanted: str) -> Exception:
    kind = {"boolean": "bool", "integer": "number"}.get(json_type(value), json_type(value))
    return bad_request(f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}")


def _zero(name: str, schema: Object) -> Any:
    """The meaning of null inside a list or a map."""
    if name == _QUANTITY:
        return 0
    types = schema.get("type", "object")
    zeros: dict[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    return zeros[types if isinstance(types, str) else types[0]]
