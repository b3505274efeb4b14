"""Custom resources, checked against the schema of their definition.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

import contextlib
import copy
import ipaddress
import json
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from kubernetes_rehearsal.standin import cel, formats
from kubernetes_rehearsal.standin.errors import Object, Problems, json_type

_ROOT_FIELDS = ("apiVersion", "kind", "metadata")


def prune(schema: Object, value: Any, path: str = "", *, root: bool = True) -> tuple[Any, list[str]]:
    """The value without the fields that the schema does not know, and their names."""
    unknown: list[str] = []
    if isinstance(value, dict):
        kept = {}
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        embedded = root or schema.get("x-kubernetes-embedded-resource")
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            below = properties.get(key, extra if isinstance(extra, dict) else None)
            if embedded and key in _ROOT_FIELDS:
                kept[key] = item
            elif below is not None:
                kept[key], more = prune(below, item, place, root=False)
                unknown += more
            elif extra is True or schema.get("x-kubernetes-preserve-unknown-fields"):
                kept[key] = item
            else:
                unknown.append(f'unknown field "{place}"')
        return kept, unknown
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        items = []
        for index, item in enumerate(value):
            found, more = prune(schema["items"], item, f"{path}[{index}]", root=False)
            items.append(found)
            unknown += more
        return items, unknown
    return value, unknown


def fill(schema: Object, value: Any) -> None:
    """Set the schema's defaults in place. A null where none is allowed counts as absent."""
    if isinstance(value, dict):
        properties: Object = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        for key in list(value):
            below = properties.get(key, extra if isinstance(extra, dict) else None)
            if below is not None and value[key] is None and not below.get("nullable"):
                del value[key]
        for key, below in properties.items():
            if "default" in below and key not in value:
                value[key] = copy.deepcopy(below["default"])
        for key, item in value.items():
            below = properties.get(key, extra if isinstance(extra, dict) else None)
            if below is not None:
                fill(below, item)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            fill(schema["items"], item)


def check(schema: Object, value: Any, path: str, problems: Problems, *, root: bool = False) -> None:
    """Report where a value breaks its schema, validation rules aside."""
    if value is None and schema.get("nullable"):
        return
    if not _check_type(schema, value, path, problems):
        return
    enum = schema.get("enum")
    if enum and value not in enum:
        problems.unsupported(path, value, [one if isinstance(one, str) else json.dumps(one) for one in enum])
    if isinstance(value, str):
        _check_text(schema, value, path, problems)
    elif isinstance(value, list):
        _check_list(schema, value, path, problems)
    elif isinstance(value, dict):
        _check_object(schema, value, path, problems, root=root)
    elif not isinstance(value, bool) and value is not None:
        _check_number(schema, value, path, problems)
    _check_branches(schema, value, path, problems)


def check_rules(schema: Object, value: Any, old: Any, path: str, problems: Problems) -> None:
    """Report where a value breaks the validation rules of its schema.

    :param old: the value before an update, None on creation.
    """
    if value is None:
        return
    for rule in schema.get("x-kubernetes-validations", []):
        _check_rule(schema, rule, value, old, path, problems)
    if isinstance(value, dict):
        extra = schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            below = schema.get("properties", {}).get(key, extra if isinstance(extra, dict) else None)
            if below:
                place = f"{path}.{key}" if path else key
                check_rules(below, item, before.get(key), place, problems)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        keys = schema.get("x-kubernetes-list-map-keys")
        for index, item in enumerate(value):
            twin = _correlated(keys, item, old) if keys and isinstance(old, list) else None
            check_rules(schema["items"], item, twin, f"{path}[{index}]", problems)


def _check_rule(schema: Object, rule: Object, value: Any, old: Any, path: str, problems: Problems) -> None:
    text = rule["rule"]
    about_change = cel.mentions_old_value(text)
    if about_change and old is None and not rule.get("optionalOldSelf"):
        return
    variables = {"self": cel.value_for(schema, value)}
    if about_change:
        variables["oldSelf"] = cel.value_for(schema, old)
    place = f"{path}{rule.get('fieldPath', '')}" or "<nil>"
    try:
        holds = cel.evaluate(text, variables)
    except cel.RuleError as error:
        problems.invalid(place, json_type(value), f'rule evaluation error: {error} evaluating rule: "{text}"')
        return
    if holds is True:
        return
    message = rule.get("message", f"failed rule: {text}").strip()
    if rule.get("messageExpression"):
        with contextlib.suppress(cel.RuleError):
            message = str(cel.evaluate(rule["messageExpression"], variables))
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueForbidden":
            problems.forbidden(place, message)
        case "FieldValueRequired":
            problems.required(place, message)
        case "FieldValueDuplicate":
            problems.duplicate(place, value)
        case _:
            shown = value if not isinstance(value, (dict, list)) else json_type(value)
            problems.invalid(place, shown, message)


def _check_type(schema: Object, value: Any, path: str, problems: Problems) -> bool:
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            problems.wrong_type(path, value, "integer,string")
            return False
        return True
    if not wanted:
        return True
    kind = json_type(value)
    fits = kind == wanted or (wanted == "number" and kind == "integer")
    fits = fits or (wanted == "integer" and isinstance(value, float) and value.is_integer())
    if not fits:
        problems.wrong_type(path, value, wanted)
    return fits


def _check_text(schema: Object, value: str, path: str, problems: Problems) -> None:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        problems.too_long(path, schema["maxLength"])
    if "minLength" in schema and len(value) < schema["minLength"]:
        problems.invalid(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        problems.invalid(path, value, f"{path} in body should match '{schema['pattern']}'")
    check_format = _FORMATS.get(schema.get("format", ""))
    if check_format and not _holds(check_format, value):
        problems.invalid(path, value, f"{path} in body must be of type {schema['format']}: {json.dumps(value)}")


def _check_number(schema: Object, value: float, path: str, problems: Problems) -> None:
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if least is not None and (value < least or (value == least and schema.get("exclusiveMinimum"))):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        problems.invalid(path, value, f"{path} in body should be {than} {least}")
    if most is not None and (value > most or (value == most and schema.get("exclusiveMaximum"))):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        problems.invalid(path, value, f"{path} in body should be {than} {most}")
    if step and value % step:
        problems.invalid(path, value, f"{path} in body should be a multiple of {step}")
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        problems.invalid(path, value, f"Checked value must be a {schema['format']} value")


def _check_list(schema: Object, value: list[Any], path: str, problems: Problems) -> None:
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        problems.too_long(path, schema["maxItems"], "items")
    if "minItems" in schema and len(value) < schema["minItems"]:
        problems.invalid(path, len(value), f"{path} in body should have at least {schema['minItems']} items")
    items = schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            check(items, item, f"{path}[{index}]", problems)
    kind = schema.get("x-kubernetes-list-type")
    seen: list[Any] = []
    for index, item in enumerate(value if kind in ("map", "set") else []):
        keys = schema.get("x-kubernetes-list-map-keys", [])
        identity = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
        if identity in seen:
            problems.duplicate(f"{path}[{index}]", identity)
        seen.append(identity)


def _check_object(schema: Object, value: Object, path: str, problems: Problems, *, root: bool) -> None:
    for name in schema.get("required", []):
        if name not in value:
            problems.required(f"{path}.{name}" if path else name)
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        problems.too_long(path, schema["maxProperties"], "items")
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        problems.invalid(path, len(value), f"{path} in body should have at least {schema['minProperties']} properties")
    if schema.get("x-kubernetes-embedded-resource"):
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                problems.required(f"{path}.{name}", "must not be empty")
    extra = schema.get("additionalProperties")
    for key, item in value.items():
        if root and key in _ROOT_FIELDS:
            continue
        below = schema.get("properties", {}).get(key, extra if isinstance(extra, dict) else None)
        if below is not None:
            check(below, item, f"{path}.{key}" if path else key, problems)


def _check_branches(schema: Object, value: Any, path: str, problems: Problems) -> None:
    for branch in schema.get("allOf", []):
        check(branch, value, path, problems)
    if (branches := schema.get("anyOf")) and not any(_fits(branch, value) for branch in branches):
        problems.invalid(path, json_type(value), f"{path} in body must validate at least one schema (anyOf)")
    if branches := schema.get("oneOf"):
        fitting = sum(_fits(branch, value) for branch in branches)
        if fitting != 1:
            problems.invalid(path, json_type(value), f"{path} in body must validate one and only one schema (oneOf)")
    if "not" in schema and _fits(schema["not"], value):
        problems.invalid(path, json_type(value), f"{path} in body must not validate the schema (not)")


def _fits(schema: Object, value: Any) -> bool:
    problems = Problems()
    check(schema, value, "", problems)
    return not problems.causes


def _correlated(keys: list[str], item: Any, old: list[Any]) -> Any:
    def key_of(one: Any) -> list[Any]:
        return [one.get(key) for key in keys] if isinstance(one, dict) else []

    return next((before for before in old if key_of(before) == key_of(item)), None)


def _holds(check_format: Callable[[str], Any], value: str) -> bool:
    try:
        return check_format(value) is not False
    except ValueError:
        return False


_FORMATS: dict[str, Callable[[str], Any]] = {
    "cidr": lambda value: "/" in value and bool(ipaddress.ip_network(value, strict=False)),
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "duration": formats.duration,
    "email": lambda value: bool(re.fullmatch(r"[^@\s]+@[^@\s]+", value)),
    "ipv4": lambda value: bool(ipaddress.IPv4Address(value)),
    "ipv6": lambda value: bool(ipaddress.IPv6Address(value)),
    "mac": lambda value: bool(re.fullmatch(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", value)),
    "uuid": lambda value: bool(re.fullmatch(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", value)),
}
