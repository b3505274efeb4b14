"""Schemas of custom resources: the shape that the server demands of them, which it calls structural.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

import re
from typing import Any

from kubernetes_rehearsal.standin import cel, structural
from kubernetes_rehearsal.standin.errors import Object, Problems

_FORBIDDEN = ("definitions", "dependencies", "patternProperties", "additionalItems", "$ref", "id", "$schema")
_ONLY_AT_NODES = ("type", "additionalProperties", "default", "nullable", "title", "description")
_LIST_TYPES = ["atomic", "set", "map"]
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]
_REASONS = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"]


def structural_schema(schema: Object, path: str, problems: Problems) -> None:
    """The schema of a version."""
    if schema.get("type") != "object":
        problems.invalid(f"{path}.type", schema.get("type", ""), "must be object at the root")
    metadata = schema.get("properties", {}).get("metadata", {"type": "object"})
    if metadata.get("type") != "object":
        problems.invalid(f"{path}.properties[metadata].type", metadata.get("type", ""), "must be object")
    _check_schema(schema, path, problems, root=True)


def _check_schema(schema: Object, path: str, problems: Problems, *, root: bool = False) -> None:
    """A node of a structural schema and everything below it."""
    _check_node(schema, path, problems)
    _check_extensions(schema, path, problems, root=root)
    for kind in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(schema.get(kind, [])):
            _check_branch(branch, f"{path}.{kind}[{index}]", problems)
    if "not" in schema:
        _check_branch(schema["not"], f"{path}.not", problems)
    for name, below in schema.get("properties", {}).items():
        _check_schema(below, f"{path}.properties[{name}]", problems)
    if isinstance(schema.get("additionalProperties"), dict):
        _check_schema(schema["additionalProperties"], f"{path}.additionalProperties", problems)
    if isinstance(schema.get("items"), dict):
        _check_schema(schema["items"], f"{path}.items", problems)
    _check_default(schema, path, problems)
    for index, rule in enumerate(schema.get("x-kubernetes-validations", [])):
        _check_rule(schema, rule, f"{path}.x-kubernetes-validations[{index}]", problems)


def _check_rule(schema: Object, rule: Object, path: str, problems: Problems) -> None:
    text = rule.get("rule", "")
    if not text.strip():
        problems.required(f"{path}.rule", "rule is not specified")
    elif wrong := cel.compile_rule(text) or cel.undefined_field(text, schema):
        problems.invalid(f"{path}.rule", rule, f"compilation failed: {wrong}")
    if "reason" in rule:
        problems.one_of(f"{path}.reason", rule["reason"], _REASONS)
    if "fieldPath" in rule and not _leads_somewhere(rule["fieldPath"], schema):
        problems.invalid(f"{path}.fieldPath", rule["fieldPath"], "must be a valid path")


def _leads_somewhere(path: str, schema: Object) -> bool:
    if not path.startswith("."):
        return not path
    for name in path[1:].split("."):
        schema = schema.get("properties", {}).get(name)
        if not isinstance(schema, dict):
            return False
    return True


def _check_node(schema: Object, path: str, problems: Problems) -> None:
    flexible = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not schema.get("type"):
        if not flexible:
            where = "specified array items" if path.endswith(".items") else "specified object fields"
            problems.required(f"{path}.type", f"must not be empty for {where}")
    else:
        problems.one_of(f"{path}.type", schema["type"], _TYPES)
        if schema.get("x-kubernetes-int-or-string"):
            problems.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")
    for name in _FORBIDDEN:
        if schema.get(name):
            problems.forbidden(f"{path}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems"):
        problems.forbidden(
            f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    if schema.get("properties") and schema.get("additionalProperties") is not None:
        problems.forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if isinstance(schema.get("items"), list):
        problems.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if schema.get("type") == "array" and not isinstance(schema.get("items"), (dict, list)):
        problems.required(f"{path}.items", "must be specified")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            problems.invalid(
                f"{path}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}"
            )


def _check_extensions(schema: Object, path: str, problems: Problems, *, root: bool) -> None:
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys")
    if kind is not None:
        problems.one_of(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES)
        if schema.get("type") != "array":
            problems.invalid(
                f"{path}.type", schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
            )
    if kind == "map" and not keys:
        problems.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if keys and kind is None:
        problems.required(f"{path}.x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty")
    elif keys and kind != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        problems.invalid(f"{path}.x-kubernetes-list-type", kind, detail)
    if keys and len(set(keys)) < len(keys):
        problems.invalid(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")
    items = schema.get("items") if isinstance(schema.get("items"), dict) else {}
    for key in keys or []:
        field = (items or {}).get("properties", {}).get(key)
        if field is None:
            problems.invalid(f"{path}.x-kubernetes-list-map-keys", keys, "entries must all be names of item properties")
        elif key not in (items or {}).get("required", []) and "default" not in field:
            problems.required(
                f"{path}.items.properties[{key}].default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        problems.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    if schema.get("x-kubernetes-embedded-resource") and root:
        problems.forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be true at the root")


def _check_branch(schema: Object, path: str, problems: Problems) -> None:
    """allOf, anyOf, oneOf and not contain only constraints, no structure."""
    either = schema.get("type") in ("integer", "string") and set(schema) <= {"type", "pattern"}
    for name in _ONLY_AT_NODES:
        if schema.get(name) and not (name == "type" and either):
            problems.forbidden(f"{path}.{name}", "must be empty to be structural")
    for kind in ("allOf", "anyOf", "oneOf"):
        for index, branch in enumerate(schema.get(kind, [])):
            _check_branch(branch, f"{path}.{kind}[{index}]", problems)
    for name, below in schema.get("properties", {}).items():
        _check_branch(below, f"{path}.properties[{name}]", problems)


def _check_default(schema: Object, path: str, problems: Problems) -> None:
    if schema.get("default") is None:
        return
    default: Any = schema["default"]
    unknown = structural.prune(schema, default, root=False)[1]
    if unknown:
        problems.invalid(f"{path}.default", default, f"must not have unknown fields: {', '.join(unknown)}")
    structural.check(schema, default, f"{path}.default", problems)
