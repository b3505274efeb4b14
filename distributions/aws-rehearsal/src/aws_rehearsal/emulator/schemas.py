"""The schemas of CloudFormation's registry, from the copy in cfn-lint."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from cfnlint.jsonschema import StandardValidator
from cfnlint.jsonschema.exceptions import ValidationError
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER, ResourceNotFoundError

Properties = dict[str, Any]
"""The properties of a resource, with every reference resolved."""

_JSON_NAMES = {"string": "String", "integer": "Integer", "number": "Number", "boolean": "Boolean"}
_PYTHON_NAMES = {str: "String", int: "Integer", float: "Number", bool: "Boolean", dict: "JSONObject", list: "JSONArray"}


@cache
def schema(resource_type: str, region: str) -> Mapping[str, Any] | None:
    """The registry's schema of the type, or None if the region does not know the type."""
    try:
        found: Mapping[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, resource_type).schema
    except ResourceNotFoundError:
        return None
    return found


@cache
def attributes(resource_type: str, region: str) -> Mapping[str, Mapping[str, Any]]:
    """The attributes that ``Fn::GetAtt`` may ask of the type, each with its schema."""
    if schema(resource_type, region) is None:
        return {}
    found = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, resource_type)
    return {name: found.resolver.resolve_cfn_pointer(pointer) for name, pointer in found.get_atts.items()}


def create_only(resource_type: str, region: str) -> list[tuple[str, ...]]:
    """The properties that need a new resource when they change, each as a path."""
    return [_path(p) for p in (schema(resource_type, region) or {}).get("createOnlyProperties", [])]


def identifiers(resource_type: str, region: str) -> list[tuple[str, ...]]:
    """The properties that together identify a resource of the type, each as a path."""
    return [_path(p) for p in (schema(resource_type, region) or {}).get("primaryIdentifier", [])]


def value_at(properties: Any, path: tuple[str, ...]) -> Any:
    """The value at ``path``, or None."""
    for part in path:
        properties = properties.get(part) if isinstance(properties, dict) else None
    return properties


def _path(pointer: str) -> tuple[str, ...]:
    return tuple(part for part in pointer.removeprefix("/properties/").split("/") if part != "*")


def violations(resource_type: str, region: str, properties: Properties) -> list[str]:
    """The error messages of the registry, each with the invalid value in brackets."""
    found = schema(resource_type, region)
    if found is None:
        return [f"#: resource type {resource_type} is unknown in {region}"]
    return [_message(error) for error in _validator()(found).iter_errors(properties)]


@cache
def _validator() -> Any:
    """A validator that takes scalars as CloudFormation does, and leaves cfn-lint's own id formats aside.

    CloudFormation converts between strings, numbers and booleans. The formats describe ids that only AWS hands out.
    """
    return StandardValidator({}).extend(validators={"type": _type, "format": _anything})


def _anything(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    return iter(())


def _type(validator: Any, types: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    wanted = [types] if isinstance(types, str) else types
    if not any(validator.is_type(instance, name) or _converts(instance, name) for name in wanted):
        expected = " or ".join(_JSON_NAMES.get(name, name.title()) for name in wanted)
        found = _PYTHON_NAMES.get(type(instance), type(instance).__name__)
        yield ValidationError(f"expected type: {expected}, found: {found}")


def _converts(value: Any, wanted: str) -> bool:
    """Whether CloudFormation would turn the scalar ``value`` into a ``wanted``."""
    match wanted:
        case "string":
            return isinstance(value, int | float)
        case "boolean":
            return isinstance(value, str) and value.lower() in ("true", "false")
        case "integer":
            return isinstance(value, str) and re.fullmatch(r"-?\d+", value) is not None
        case "number":
            return isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return False


def _message(error: ValidationError) -> str:
    path = [str(part) for part in error.path]
    limit = error.validator_value
    match error.validator:
        case "additionalProperties" if path:
            return f"{_place(path[:-1])}: extraneous key [{path[-1]}] is not permitted"
        case "required":
            return f"{_place(path)}: required key [{error.message.split(chr(39))[1]}] not found"
        case "type":
            return f"{_place(path)}: {error.message}"
        case "minLength" | "maxLength":
            return f"{_place(path)}: expected {error.validator}: {limit}, actual: {len(str(error.instance))}"
        case "minItems" | "maxItems":
            bound = "minimum" if error.validator == "minItems" else "maximum"
            return f"{_place(path)}: expected {bound} item count: {limit}, found: {len(error.instance)}"
        case "minimum" | "maximum":
            bound = "greater" if error.validator == "minimum" else "less"
            return f"{_place(path)}: {error.instance} is not {bound} or equal to {limit}"
    message = error.message if len(error.message) < 300 else f"{error.message[:300]}..."
    return f"{_place(path)}: failed validation constraint for keyword [{error.validator}] ({message})"


def _place(path: list[str]) -> str:
    return "#/" + "/".join(path) if path else "#"
