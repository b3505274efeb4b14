"""Which objects came into a cluster since it was new."""

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
        return {found for namespaced in (False, True) for found in self._collections(namespaced)}

    def _collections(self, namespaced: bool) -> set[str]:
        found = set()
        for prefix, plural in deletable(self._client, namespaced=namespaced):
            if plural in _KEPT_BY_CONTROLLERS:
                continue
            try:
                collection = self._client.get(f"{prefix}/{plural}")
            except ApiFailure as failure:
                if failure.code != 404:  # its definition went meanwhile
                    raise
                continue
            kind = collection["kind"].removesuffix("List")
            for item in collection.get("items") or []:
                metadata = item["metadata"]
                if _IN_EVERY_NAMESPACE.get(plural) != metadata["name"] and not _kept_by_helm(plural, item):
                    found.add(
                        f"{kind} {metadata['namespace']}/{metadata['name']}"
                        if namespaced
                        else f"{kind} {metadata['name']}"
                    )
        return found


def _kept_by_helm(plural: str, item: dict[str, Any]) -> bool:
    """Whether it is a definition that Helm brought: charts keep these on purpose. Objects of the kind do count."""
    managers = {entry.get("manager") for entry in item["metadata"].get("managedFields", [])}
    return plural == "customresourcedefinitions" and "helm" in managers
