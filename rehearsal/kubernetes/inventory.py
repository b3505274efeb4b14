"""Which objects came into a cluster since it was new."""

from collections.abc import Iterator
from typing import Any

from rehearsal.kubernetes.client import ApiClient, ApiFailure
from rehearsal.kubernetes.controllers import deletable

# Kept by controllers, or copies of what other collections hold.
_KEPT_BY_CONTROLLERS = {
    "apiservices",
    "componentstatuses",
    "endpoints",
    "endpointslices",
    "events",
    "ipaddresses",
    "leases",
}
_IN_EVERY_NAMESPACE = {"serviceaccounts": "default", "configmaps": "kube-root-ca.crt"}


class Inventory:
    """Remembers what a new cluster holds, and tells what was added.

    :param client: of somebody who may list everything.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._new = self._objects()

    def added(self) -> list[str]:
        """The objects that are there now and were not at the beginning, as ``Kind namespace/name``, sorted."""
        return sorted(self._objects() - self._new)

    def _objects(self) -> set[str]:
        return {name for name, found in objects(self._client) if not _kept_by_helm(found)}


def objects(client: ApiClient) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything in a cluster but what controllers keep, each with its name as ``Kind namespace/name``."""
    for namespaced in (False, True):
        for prefix, plural in deletable(client, namespaced=namespaced):
            if plural not in _KEPT_BY_CONTROLLERS:
                yield from _collection(client, f"{prefix}/{plural}", plural)


def _collection(client: ApiClient, path: str, plural: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        collection = client.get(path)
    except ApiFailure as failure:
        if failure.code != 404:  # its definition went meanwhile
            raise
        return
    kind = collection["kind"].removesuffix("List")
    for item in collection.get("items") or []:
        metadata = item["metadata"]
        if _IN_EVERY_NAMESPACE.get(plural) != metadata["name"]:
            place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
            yield f"{kind} {place}{metadata['name']}", {"kind": kind, **item}


def _kept_by_helm(found: dict[str, Any]) -> bool:
    """Whether it is a definition that Helm brought: charts keep these on purpose. Objects of the kind do count."""
    managers = {entry.get("manager") for entry in found["metadata"].get("managedFields", [])}
    return found["kind"] == "CustomResourceDefinition" and "helm" in managers
