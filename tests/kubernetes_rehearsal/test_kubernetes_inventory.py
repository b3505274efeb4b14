"""What remains in a cluster: objects that were added, except what controllers make and what is being deleted."""

from typing import Any

import pytest

from kubernetes_rehearsal.inventory import Inventory

DEPLOYMENT = {"metadata": {"namespace": "kube-system", "name": "coredns", "uid": "deployment"}}


class Api:
    """Pods and ReplicaSets of a cluster; each round of listing sees the next state, the last one stays."""

    def __init__(self, *rounds: list[dict[str, Any]]) -> None:
        self._rounds = [[DEPLOYMENT], *rounds]

    def get(self, path: str) -> dict[str, Any]:
        if path == "/apis":
            return {"groups": []}
        if path == "/api/v1":
            return {"resources": [{"name": "pods", "namespaced": True, "verbs": ["list", "delete"]}]}
        found = self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0]
        return {"kind": "PodList", "items": found}


def pod(name: str, *, owner: str = "", deleted: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "kube-system", "name": name, "uid": name}
    if owner:
        metadata["ownerReferences"] = [{"uid": owner}]
    if deleted:
        metadata["deletionTimestamp"] = "2026-10-01T00:00:00Z"
    return {"metadata": metadata}


def inventory(*rounds: list[dict[str, Any]]) -> Inventory:
    return Inventory(Api(*rounds))  # type: ignore[arg-type]  # the two calls that it makes


def test_objects_that_controllers_make_for_a_new_cluster_are_not_added() -> None:
    later = [DEPLOYMENT, pod("set", owner="deployment"), pod("coredns-x", owner="set")]
    assert inventory(later).added() == []


def test_an_object_with_a_living_owner_is_added_with_its_owner() -> None:
    later = [DEPLOYMENT, pod("web"), pod("web-x", owner="web")]
    assert inventory(later).settled() == ["Pod kube-system/web", "Pod kube-system/web-x"]


@pytest.mark.promise("no-leftovers")
def test_the_list_of_what_remains_waits_for_the_garbage_collector() -> None:
    orphan = [DEPLOYMENT, pod("web-x", owner="gone")]
    marked = [DEPLOYMENT, pod("web-x", owner="gone", deleted=True)]
    assert inventory(orphan, marked, [DEPLOYMENT]).settled(seconds=5) == []


@pytest.mark.promise("no-leftovers")
def test_what_is_not_deleted_in_time_is_listed_by_name() -> None:
    assert inventory([DEPLOYMENT, pod("stuck", deleted=True)]).settled(seconds=0) == ["Pod kube-system/stuck"]
