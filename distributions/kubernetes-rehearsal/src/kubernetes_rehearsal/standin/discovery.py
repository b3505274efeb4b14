"""API discovery.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#api-discovery
"""

import platform
import re
from typing import Any

from kubernetes_rehearsal.standin.errors import Object, no_such_page
from kubernetes_rehearsal.standin.kinds import ResourceType

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_CHANGING = ("dryRun", "fieldManager", "fieldValidation", "force")


def version(minor: str) -> Object:
    """The document at ``/version``."""
    major, number = minor.split(".")
    return {
        "major": major,
        "minor": number,
        "gitVersion": f"v{minor}.0-stand-in",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def groups(types: list[ResourceType]) -> dict[str, list[str]]:
    """Groups and their versions, the preferred version first."""
    found: dict[str, list[str]] = {}
    for kind in types:
        versions = found.setdefault(kind.group, [])
        if kind.version not in versions:
            versions.append(kind.version)
    return {group: sorted(versions, key=_maturity) for group, versions in found.items()}


def group_document(group: str, versions: list[str]) -> Object:
    """An APIGroup."""
    entries = [{"groupVersion": f"{group}/{one}", "version": one} for one in versions]
    return {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": entries, "preferredVersion": entries[0]}


def group_list(types: list[ResourceType]) -> Object:
    """The document at ``/apis``."""
    found = [group_document(group, versions) for group, versions in groups(types).items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def resource_list(types: list[ResourceType], group: str, version: str) -> Object:
    """The document at ``/apis/<group>/<version>``.

    :raises ApiError: 404, where nothing of it is served.
    """
    served = [kind for kind in types if (kind.group, kind.version) == (group, version)]
    if not served:
        raise no_such_page()
    resources: list[Object] = []
    for kind in served:
        entry: Object = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": list(kind.verbs),
        }
        if kind.short_names:
            entry["shortNames"] = list(kind.short_names)
        if kind.categories:
            entry["categories"] = list(kind.categories)
        resources.append(entry)
        for part in kind.subresources:
            below = {"name": f"{kind.plural}/{part}", "singularName": "", "namespaced": kind.namespaced}
            resources.append({**below, **_part_kind(kind, part), "verbs": _part_verbs(part)})
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": served[0].api_version,
        "resources": resources,
    }


def aggregated(types: list[ResourceType], *, core: bool) -> Object:
    """Aggregated discovery: the core group at ``/api``, all others at ``/apis``."""
    items = []
    for group, versions in groups(types).items():
        if (group == "") == core:
            entries = [
                {"version": one, "freshness": "Current", "resources": _resources(types, group, one)} for one in versions
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": entries})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def openapi_index(types: list[ResourceType]) -> Object:
    """The document at ``/openapi/v3``."""
    paths = {}
    for group, versions in groups(types).items():
        for one in versions:
            path = f"apis/{group}/{one}" if group else f"api/{one}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
    return {"paths": paths}


def openapi_document(types: list[ResourceType], group: str, version: str) -> Object:
    """Enough of a group's OpenAPI for kubectl to leave validation to the server."""
    paths: Object = {}
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    for kind in types:
        if (kind.group, kind.version) == (group, version):
            place = f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
            paths[f"{place}/{{name}}"] = {
                "patch": {
                    "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind.kind},
                    "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _CHANGING],
                    "responses": {"200": {"description": "OK"}},
                }
            }
    info = {"title": "Kubernetes stand-in", "version": version}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def _resources(types: list[ResourceType], group: str, version: str) -> list[Object]:
    found = []
    for kind in types:
        if (kind.group, kind.version) == (group, version):
            entry: Object = {
                "resource": kind.plural,
                "responseKind": {"group": group, "version": version, "kind": kind.kind},
                "scope": "Namespaced" if kind.namespaced else "Cluster",
                "singularResource": kind.singular,
                "verbs": list(kind.verbs),
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
                "subresources": [
                    {
                        "subresource": part,
                        "responseKind": _as_response_kind(_part_kind(kind, part), kind),
                        "verbs": _part_verbs(part),
                    }
                    for part in kind.subresources
                ],
            }
            found.append({name: value for name, value in entry.items() if value})
    return found


def _part_kind(kind: ResourceType, part: str) -> dict[str, str]:
    if part == "scale":
        return {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    return {"kind": kind.kind}


def _as_response_kind(part: dict[str, str], kind: ResourceType) -> dict[str, str]:
    return {"group": part.get("group", kind.group), "version": part.get("version", kind.version), "kind": part["kind"]}


def _part_verbs(part: str) -> list[str]:
    return ["update"] if part == "finalize" else ["get", "patch", "update"]


def _maturity(version: str) -> tuple[Any, ...]:
    """Stable before beta before alpha, newer before older."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if not found:
        return (3, version)
    ranks = {None: 0, "beta": 1, "alpha": 2}
    return (ranks[found[2]], -int(found[1]), -int(found[3] or 0))
