"""Checks that rules of roles name API groups and resources that exist; the API accepts others, which grant nothing."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.proofs.findings import Finding


def check_rules(
    api: ApiClient, objects: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]] = ()
) -> list[Finding]:
    """Roles whose rules name an API group or a resource that does not exist.

    :param others: CustomResourceDefinitions that the API may lack, such as those of components that are not installed.
    """
    versions = {group["name"]: [one["groupVersion"] for one in group["versions"]] for group in _groups(api)}
    known: dict[str, set[str]] = {}
    for definition in others:
        spec = definition["spec"]
        known.setdefault(spec["group"], set()).add(spec["names"]["plural"])
    served: dict[str, set[str]] = {}
    findings = []
    for found in objects:
        if found["kind"] not in ("Role", "ClusterRole"):
            continue
        metadata = found["metadata"]
        place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
        for rule in found.get("rules") or []:
            for group in rule.get("apiGroups") or []:
                if group not in served:
                    served[group] = known.get(group, set()) | _resources(api, group, versions)
            findings += [Finding(f"{found['kind']} {place}{metadata['name']}", what) for what in _wrong(rule, served)]
    return findings


def _wrong(rule: Mapping[str, Any], served: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What is wrong with a rule.

    :param served: the resources of each API group of the rule; none for a group that does not exist.
    """
    groups = [group for group in rule.get("apiGroups") or [] if group != "*"]
    for group in groups:
        if not served[group]:
            yield f"a rule names the API group {group!r}, which does not exist; correct it"
    if groups != (rule.get("apiGroups") or []) or not all(served[group] for group in groups):
        return
    existing = {"*", *(name for group in groups for name in served[group])}
    for resource in rule.get("resources") or []:
        if resource.partition("/")[0] not in existing:
            yield f"a rule names the resource {resource!r}, which the API groups {groups} do not serve; correct it"


def _groups(api: ApiClient) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = api.get("/apis")["groups"]
    return groups


def _resources(api: ApiClient, group: str, versions: Mapping[str, Iterable[str]]) -> set[str]:
    """The resources that the API serves in a group; none in a group that it does not have."""
    paths = [f"/apis/{version}" for version in versions.get(group, ())] if group else ["/api/v1"]
    return {resource["name"].partition("/")[0] for path in paths for resource in api.get(path)["resources"]}
