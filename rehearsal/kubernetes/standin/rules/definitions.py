"""CustomResourceDefinitions: names, versions, and schemas that are structural.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

import re
from typing import Any

from rehearsal.kubernetes.standin import cel, structural
from rehearsal.kubernetes.standin.errors import Object, Problems
from rehearsal.kubernetes.standin.formats import dns_1035_label, dns_subdomain
from rehearsal.kubernetes.standin.rules.common import check_text

_APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = re.compile(r"(^|\.)(k8s|kubernetes)\.io$")
_FORBIDDEN = ("definitions", "dependencies", "patternProperties", "additionalItems", "$ref", "id", "$schema")
_ONLY_AT_NODES = ("type", "additionalProperties", "default", "nullable", "title", "description")
_LIST_TYPES = ["atomic", "set", "map"]
_TYPES = ["array", "boolean", "integer", "number", "object", "string"]


def definition(found: Object, problems: Problems) -> None:
    """The whole definition."""
    spec = found.get("spec", {})
    _check_names(found, spec, problems)
    if spec.get("preserveUnknownFields"):
        problems.invalid("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema")
    if not spec.get("scope"):
        problems.required("spec.scope")
    else:
        problems.one_of("spec.scope", spec["scope"], ["Cluster", "Namespaced"])
    versions = spec.get("versions", [])
    storage = [version for version in versions if version.get("storage")]
    if len(storage) != 1:
        problems.invalid(
            "spec.versions",
            [v.get("name") for v in versions],
            "must have exactly one version marked as storage version",
        )
    seen = set()
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        check_text(dns_1035_label, version.get("name", ""), f"{path}.name", problems)
        if version.get("name") in seen:
            problems.invalid(f"{path}.name", version.get("name"), "must contain unique version names")
        seen.add(version.get("name"))
        _check_version(version, path, problems)
    _check_conversion(spec.get("conversion", {}), problems)


def definition_change(found: Object, old: Object, problems: Problems) -> None:
    """What a definition keeps for good."""
    spec, before = found["spec"], old["spec"]
    for name in ("group", "scope"):
        if spec.get(name) != before.get(name):
            problems.invalid(f"spec.{name}", spec.get(name), "field is immutable")
    for name in ("plural", "kind"):
        if spec["names"].get(name) != before["names"].get(name):
            problems.invalid(f"spec.names.{name}", spec["names"].get(name), "field is immutable")
    versions = {version["name"] for version in spec["versions"]}
    for index, stored in enumerate(old.get("status", {}).get("storedVersions", [])):
        if stored not in versions:
            problems.invalid(
                f"status.storedVersions[{index}]", stored, "missing from spec.versions; migrate its objects first"
            )


def _check_names(found: Object, spec: Object, problems: Problems) -> None:
    group, names = spec.get("group", ""), spec.get("names", {})
    if found["metadata"].get("name") != f"{names.get('plural', '')}.{group}":
        problems.invalid("metadata.name", found["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
    if not group:
        problems.required("spec.group")
    else:
        check_text(dns_subdomain, group, "spec.group", problems)
        if "." not in group:
            problems.invalid("spec.group", group, "should be a domain with at least one dot")
    approval = found["metadata"].get("annotations", {}).get(_APPROVAL, "")
    if _PROTECTED.search(group) and not approval:
        problems.required(f"metadata.annotations[{_APPROVAL}]", "protected groups must have approval annotation")
    for name in ("plural", "singular"):
        check_text(dns_1035_label, names.get(name, ""), f"spec.names.{name}", problems)
    for name in ("kind", "listKind"):
        check_text(dns_1035_label, names.get(name, "").lower(), f"spec.names.{name}", problems)
    for name in ("shortNames", "categories"):
        for index, one in enumerate(names.get(name, [])):
            check_text(dns_1035_label, one, f"spec.names.{name}[{index}]", problems)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        problems.invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")


def _check_version(version: Object, path: str, problems: Problems) -> None:
    schema = version.get("schema", {}).get("openAPIV3Schema")
    if schema is None:
        problems.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        place = f"{path}.schema.openAPIV3Schema"
        if schema.get("type") != "object":
            problems.invalid(f"{place}.type", schema.get("type", ""), "must be object at the root")
        _check_schema(schema, place, problems, root=True)
    for index, column in enumerate(version.get("additionalPrinterColumns", [])):
        place = f"{path}.additionalPrinterColumns[{index}]"
        for name in ("name", "type", "jsonPath"):
            if not column.get(name):
                problems.required(f"{place}.{name}")
        if column.get("type"):
            problems.one_of(f"{place}.type", column["type"], ["boolean", "date", "integer", "number", "string"])
        if column.get("jsonPath") and not column["jsonPath"].startswith("."):
            problems.invalid(f"{place}.jsonPath", column["jsonPath"], "must be a simple json path starting with .")
    scale = version.get("subresources", {}).get("scale")
    for name in ("specReplicasPath", "statusReplicasPath") if scale is not None else ():
        start = ".spec." if name.startswith("spec") else ".status."
        if not scale.get(name):
            problems.required(f"{path}.subresources.scale.{name}")
        elif not scale[name].startswith(start):
            problems.invalid(
                f"{path}.subresources.scale.{name}", scale[name], f"should be a json path under {start[:-1]}"
            )


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
        if not (root and name == "metadata"):
            _check_schema(below, f"{path}.properties[{name}]", problems)
    if isinstance(schema.get("additionalProperties"), dict):
        _check_schema(schema["additionalProperties"], f"{path}.additionalProperties", problems)
    if isinstance(schema.get("items"), dict):
        _check_schema(schema["items"], f"{path}.items", problems)
    _check_default(schema, path, problems)
    for index, rule in enumerate(schema.get("x-kubernetes-validations", [])):
        place = f"{path}.x-kubernetes-validations[{index}].rule"
        if not rule.get("rule", "").strip():
            problems.required(place, "rule is not specified")
        elif wrong := cel.compile_rule(rule["rule"]):
            problems.invalid(place, rule["rule"], f"compilation failed: {wrong}")


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
    if schema.get("type") == "array" and "items" not in schema:
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
    if kind:
        problems.one_of(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES)
        if schema.get("type") != "array":
            problems.invalid(
                f"{path}.type", schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
            )
    if kind == "map" and not keys:
        problems.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
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
    """Below allOf, anyOf, oneOf and not there are constraints only, no shape."""
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
    if "default" not in schema:
        return
    default: Any = schema["default"]
    unknown = structural.prune(schema, default, root=False)[1]
    if unknown:
        problems.invalid(f"{path}.default", default, f"must not have unknown fields: {', '.join(unknown)}")
    structural.check(schema, default, f"{path}.default", problems)


def _check_conversion(conversion: Object, problems: Problems) -> None:
    strategy = conversion.get("strategy", "None")
    problems.one_of("spec.conversion.strategy", strategy, ["None", "Webhook"])
    webhook = conversion.get("webhook")
    if strategy == "Webhook":
        if not webhook or not webhook.get("clientConfig"):
            problems.required("spec.conversion.webhook.clientConfig", "required when strategy is set to Webhook")
        if not (webhook or {}).get("conversionReviewVersions"):
            problems.required("spec.conversion.webhook.conversionReviewVersions")
    elif webhook:
        problems.forbidden("spec.conversion.webhook", "should not be set when strategy is not set to Webhook")
