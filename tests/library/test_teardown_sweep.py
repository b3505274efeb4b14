"""The order in which a cluster is emptied, against an API that keeps what somebody still needs."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from mlplatform_constructs.handlers.teardown_guard.sweep import sweep

INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
CLAIMS = "/api/v1/persistentvolumeclaims"


def thing(name: str, namespace: str | None = "team", *, owner: tuple[str, str] | None = None, **spec: Any) -> Any:
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    place = {"namespace": namespace} if namespace else {}
    return {"metadata": {"name": name, **place, "ownerReferences": owners}, "spec": spec}


class Cluster:
    """Objects by path. A deleted object stays for as many looks as ``slow`` says, and takes along what it ``holds``."""

    def __init__(self, objects: Mapping[str, list[Any]]) -> None:
        self.objects = {path: list(items) for path, items in objects.items()}
        self.deleted: list[str] = []
        self.slow: dict[str, int] = {}
        self.holds: dict[str, list[str]] = {}

    def list(self, path: str) -> list[Any]:
        for address in [address for address in self.deleted if self.slow.get(address, 0) > 0]:
            self.slow[address] -= 1
            if not self.slow[address]:
                self._remove(address)
        return list(self.objects.get(path, []))

    def get(self, path: str) -> Any:
        return next((item for item in self._all() if self._is(path, item)), None)

    def delete(self, path: str) -> None:
        assert self.get(path), f"{path} is not there"
        self.deleted.append(path)
        if not self.slow.get(path):
            self._remove(path)

    def _all(self) -> Any:
        return (item for items in self.objects.values() for item in items)

    @staticmethod
    def _is(address: str, item: Any) -> bool:
        namespace = item["metadata"].get("namespace")
        here = f"/namespaces/{namespace}/" in address if namespace else "/namespaces/" not in address
        return here and address.endswith(f"/{item['metadata']['name']}")

    def _remove(self, address: str) -> None:
        for items in self.objects.values():
            items[:] = [item for item in items if not self._is(address, item)]
        for held in self.holds.get(address, []):
            self._remove(held)


def empty(cluster: Cluster, *, volumes: bool = True, seconds: float = 5) -> list[str]:
    return sweep(cluster, volumes=volumes, deadline=time.monotonic() + seconds, pause=0, settle=0)


def test_an_empty_cluster_is_left_alone() -> None:
    cluster = Cluster({})
    assert empty(cluster) == []
    assert cluster.deleted == []


def test_load_balancers_go_before_nodes_and_nodes_before_disks() -> None:
    """R-10, row 105."""
    cluster = Cluster(
        {
            INGRESSES: [thing("dashboard")],
            "/api/v1/services": [thing("gateway", type="LoadBalancer"), thing("api", type="ClusterIP")],
            "/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings": [thing("binding")],
            "/apis/karpenter.sh/v1/nodepools": [thing("gpu", None)],
            "/apis/karpenter.sh/v1/nodeclaims": [thing("gpu-x", None)],
            CLAIMS: [thing("data")],
        }
    )
    empty(cluster)
    assert [address.rsplit("/", 2)[-2:] for address in cluster.deleted] == [
        ["ingresses", "dashboard"],
        ["services", "gateway"],
        ["targetgroupbindings", "binding"],
        ["nodepools", "gpu"],
        ["nodeclaims", "gpu-x"],
        ["persistentvolumeclaims", "data"],
    ]


def test_a_step_waits_until_the_one_before_is_gone() -> None:
    cluster = Cluster({INGRESSES: [thing("a")], "/api/v1/services": [thing("b", type="LoadBalancer")]})
    ingress = "/apis/networking.k8s.io/v1/namespaces/team/ingresses/a"
    cluster.slow[ingress] = 3
    gone_first: list[bool] = []
    delete = cluster.delete

    def watched(path: str) -> None:
        if path.endswith("/b"):
            gone_first.append(not cluster.objects[INGRESSES])
        delete(path)

    cluster.delete = watched  # type: ignore[method-assign]
    empty(cluster)
    assert gone_first == [True]


def test_those_who_watched_get_time_to_take_their_records_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-11: a hosted zone that still has a record of external-dns cannot be deleted."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    far = time.monotonic() + 60
    sweep(Cluster({"/apis/karpenter.sh/v1/nodepools": [thing("gpu", None)]}), volumes=True, deadline=far, settle=30)
    assert slept == []
    sweep(Cluster({INGRESSES: [thing("dashboard")]}), volumes=True, deadline=far, settle=30)
    assert slept == [30]


def test_what_never_goes_is_named_with_its_finalizers_and_what_to_do() -> None:
    """R-12."""
    held = thing("dashboard")
    held["metadata"]["finalizers"] = ["ingress.k8s.aws/resources"]
    cluster = Cluster({INGRESSES: [held]})
    cluster.slow["/apis/networking.k8s.io/v1/namespaces/team/ingresses/dashboard"] = 10**9
    said = (
        r"Ingress still there: team/dashboard \(finalizers: ingress.k8s.aws/resources\); look at the log of the contr"
    )
    with pytest.raises(TimeoutError, match=said):
        empty(cluster, seconds=0.05)


def test_disks_stay_and_are_named_when_data_is_kept() -> None:
    made = thing("pvc-1", None, persistentVolumeReclaimPolicy="Delete")
    ours = thing("training-data", None, persistentVolumeReclaimPolicy="Retain")
    cluster = Cluster({CLAIMS: [thing("data")], "/api/v1/persistentvolumes": [made, ours]})
    assert empty(cluster, volumes=False) == ["pvc-1"]
    assert cluster.deleted == []


def test_the_controller_behind_a_pod_that_mounts_a_claim_is_stopped() -> None:
    mounting = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    cluster = Cluster(
        {
            "/api/v1/pods": [
                thing("nb-0", owner=("StatefulSet", "nb"), **mounting),
                thing("web-1", owner=("ReplicaSet", "web-x")),
                thing("bare", **mounting),
            ],
            "sets": [thing("nb", owner=("Notebook", "mine"))],
            "notebooks": [thing("mine")],
            CLAIMS: [thing("data")],
        }
    )
    empty(cluster)
    assert cluster.deleted == [
        "/apis/kubeflow.org/v1/namespaces/team/notebooks/mine",
        "/api/v1/namespaces/team/pods/bare",
        "/api/v1/namespaces/team/persistentvolumeclaims/data",
    ]


def test_add_ons_keep_running() -> None:
    mounting = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}
    cluster = Cluster({"/api/v1/pods": [thing("driver", "kube-system", **mounting)]})
    empty(cluster)
    assert cluster.deleted == []


def test_the_sweep_waits_for_disks_to_go_with_their_claims() -> None:
    claim = "/api/v1/namespaces/team/persistentvolumeclaims/data"
    volume = thing("pvc-1", None, persistentVolumeReclaimPolicy="Delete")
    cluster = Cluster({CLAIMS: [thing("data")], "/api/v1/persistentvolumes": [volume]})
    with pytest.raises(TimeoutError, match="PersistentVolume still there: pvc-1; look at"):
        empty(cluster, seconds=0.05)
    again = Cluster({CLAIMS: [thing("data")], "/api/v1/persistentvolumes": [volume]})
    again.slow[claim] = 2
    again.holds[claim] = ["/api/v1/persistentvolumes/pvc-1"]
    assert empty(again) == []
