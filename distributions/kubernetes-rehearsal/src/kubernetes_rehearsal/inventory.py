"""Which objects came into a cluster since it was new."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.controllers import deletable

# Kept by controllers, or copies of what other collections hold.
_KEPT_BY_CONTROLLERS = {
    "apiservices",
    "componentstatuses",
    "csinodes",
    "endpoints",
    "endpointslices",
    "events",
    "ipaddresses",
    "leases",
}
SETTLED_SECONDS = 180
_POLL_SECONDS = 0.5
# istiod creates its authority and its revocation list in every namespace, and does not delete them.
_IN_EVERY_NAMESPACE = {
    "serviceaccounts": {"default"},
    "configmaps": {"kube-root-ca.crt", "istio-ca-root-cert", "istio-ca-crl"},
}

Named = tuple[str, dict[str, Any]]
"""An object with its name, ``Kind namespace/name``."""


class Inventory:
    """Records the objects of a new cluster, and lists added ones.

    :param client: a client with permission to list everything.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._new = {name for name, _ in self._objects()}

    def added(self) -> list[str]:
        """The objects that were added since the beginning, as ``Kind namespace/name``, sorted.

        Objects that controllers make for those of the new cluster are ignored: its name server's pods have other names
        each time.
        """
        return sorted(self._added(self._objects()))

    def settled(self, seconds: float = SETTLED_SECONDS) -> list[str]:
        """The same, after everything that is being deleted has gone.

        :param seconds: time limit. What is being deleted after that time is listed.
        """
        until = time.monotonic() + seconds
        while True:
            found = self._objects()
            added = self._added(found)
            if not _leaving(found, added) or time.monotonic() > until:
                return sorted(added)
            time.sleep(_POLL_SECONDS)

    def _objects(self) -> list[Named]:
        return [(name, found) for name, found in objects(self._client) if not _kept_by_helm(found)]

    def _added(self, found: Iterable[Named]) -> set[str]:
        kept = {one["metadata"]["uid"] for name, one in found if name in self._new}
        added = {name: one for name, one in found if name not in self._new}
        while made := {name: one for name, one in added.items() if kept & _owners(one)}:
            kept |= {one["metadata"]["uid"] for one in made.values()}
            added = {name: one for name, one in added.items() if name not in made}
        return set(added)


def _leaving(found: Iterable[Named], added: Collection[str]) -> bool:
    """Whether an added object is being deleted: it is marked, or its owners are gone."""
    present = {one["metadata"]["uid"] for _, one in found}
    return any(
        "deletionTimestamp" in one["metadata"] or (_owners(one) and not _owners(one) & present)
        for name, one in found
        if name in added
    )


def _owners(found: Mapping[str, Any]) -> set[str]:
    return {owner["uid"] for owner in found["metadata"].get("ownerReferences") or []}


def objects(client: ApiClient) -> Iterator[Named]:
    """Everything in a cluster but what controllers keep, each with its name as ``Kind namespace/name``."""
    for namespaced in (False, True):
        for prefix, plural in deletable(client, namespaced=namespaced):
            if plural not in _KEPT_BY_CONTROLLERS:
                yield from _collection(client, f"{prefix}/{plural}", plural)


def _collection(client: ApiClient, path: str, plural: str) -> Iterator[Named]:
    try:
        collection = client.get(path)
    except ApiFailure as failure:
        if failure.code != 404:  # its definition was deleted in the meantime
            raise
        return
    kind = collection["kind"].removesuffix("List")
    for item in collection.get("items") or []:
        metadata = item["metadata"]
        if metadata["name"] not in _IN_EVERY_NAMESPACE.get(plural, ()):
            place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
            yield f"{kind} {place}{metadata['name']}", {"kind": kind, **item}


def _kept_by_helm(found: dict[str, Any]) -> bool:
    """Whether it is a definition from Helm, which charts retain. Objects of the kind are not ignored."""
    managers = {entry.get("manager") for entry in found["metadata"].get("managedFields", [])}
    return found["kind"] == "CustomResourceDefinition" and "helm" in managers
