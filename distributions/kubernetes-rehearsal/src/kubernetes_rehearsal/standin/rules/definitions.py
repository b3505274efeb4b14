"""CustomResourceDefinitions: names, versions, conversion."""

import re

from kubernetes_rehearsal.standin.errors import Object, Problems
from kubernetes_rehearsal.standin.formats import dns_1035_label, dns_subdomain
from kubernetes_rehearsal.standin.rules.common import check_text
from kubernetes_rehearsal.standin.rules.structure import structural_schema

_APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = re.compile(r"(^|\.)(k8s|kubernetes)\.io$")
_INTERNAL = {"jsonPath": "JSONPath"}


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
    shared = _shared(versions)
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        check_text(dns_1035_label, version.get("name", ""), f"{path}.name", problems)
        if version.get("name") in seen:
            problems.invalid(f"{path}.name", version.get("name"), "must contain unique version names")
        seen.add(version.get("name"))
        _check_version(version, shared, path, problems)
    _check_conversion(spec.get("conversion", {}), problems)


def definition_change(found: Object, old: Object, problems: Problems) -> None:
    """What a definition keeps for good."""
    spec, before = found["spec"], old["spec"]
    for name in ("group", "scope"):
        if spec.get(name) != before.get(name):
            problems.invalid(f"spec.{name}", spec.get(name), "field is immutable")
    for name in ("plural", "kind"):
        if spec.get("names", {}).get(name) != before["names"].get(name):
            problems.invalid(f"spec.names.{name}", spec.get("names", {}).get(name), "field is immutable")
    versions = {version.get("name") for version in spec.get("versions", [])}
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


def _check_version(version: Object, shared: dict[str, str], path: str, problems: Problems) -> None:
    schema = version.get("schema", {}).get("openAPIV3Schema")
    if schema is None:
        problems.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        structural_schema(schema, shared.get("schema", f"{path}.schema") + ".openAPIV3Schema", problems)
    columns = shared.get("additionalPrinterColumns", f"{path}.additionalPrinterColumns")
    for index, column in enumerate(version.get("additionalPrinterColumns", [])):
        place = f"{columns}[{index}]"
        for name in ("name", "type", "jsonPath"):
            if not column.get(name):
                problems.required(f"{place}.{_INTERNAL.get(name, name)}")
        if column.get("type"):
            problems.one_of(f"{place}.type", column["type"], ["boolean", "date", "integer", "number", "string"])
        if column.get("jsonPath") and not column["jsonPath"].startswith("."):
            problems.invalid(f"{place}.JSONPath", column["jsonPath"], "must be a simple json path starting with .")
    scale = version.get("subresources", {}).get("scale")
    for name in ("specReplicasPath", "statusReplicasPath") if scale is not None else ():
        start = ".spec." if name.startswith("spec") else ".status."
        place = shared.get("subresources", f"{path}.subresources") + f".scale.{name}"
        if not scale.get(name):
            problems.required(place)
        elif not scale[name].startswith(start):
            problems.invalid(place, scale[name], f"should be a json path under {start[:-1]}")


def _shared(versions: list[Object]) -> dict[str, str]:
    """The place at which the server reports common parts of all versions: next to them, as with a single version."""
    names = {
        "schema": "validation",
        "subresources": "subresources",
        "additionalPrinterColumns": "additionalPrinterColumns",
    }
    return {
        name: f"spec.{place}"
        for name, place in names.items()
        if versions and all(version.get(name) == versions[0].get(name) for version in versions)
    }


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
