"""The order in which a cluster is emptied, with an API that retains objects in use."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from mlplatform_constructs._clusters.teardown_guard_handler.sweep import sweep

INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
CLAIMS = "/api/v1/persistentvolumeclaims"


def thing(name: str, namespace: str | None = "team", *, owner: tuple[str, str] | None = None, **spec: Any) -> Any:
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    place = {"namespace": namespace} if namespace else {}
    return {"metadata": {"name": name, **place, "ownerReferences": owners}, "spec": spec}


class Cluster:
    """Objects by path. A deleted object remains for ``slow`` reads; objects that it ``holds`` are deleted with it."""

    def __init__(self, objects: Mapping[str, list[Any]]) -> None:
        self.objects = {path: list(items) for path, items in objects.items()}
        self.deleted: list[str] = []
        self.slow: dict[str, int] = {}
        self.holds: dict[str, list[str]] = {}
        self.background: dict[str, bool] = {}
        self.hurried: dict[str, int] = {}

    def list(self, path: str) -> list[Any]:
        for address in [address for address in self.deleted if self.slow.get(address, 0) > 0]:
            self.slow[address] -= 1
            if not self.slow[address]:
                self._remove(address)
        return list(self.objects.get(path, []))

    def get(self, path: str) -> Any:
        return next((item for item in self._all() if self._is(path, item)), None)

    def delete(self, path: str, *, background: bool = False, grace_seconds: int | None = None) -> None:
        assert self.get(path), f"{path} is not there"
        self.deleted.append(path)
        self.background[path] = background
        if grace_seconds is not None:
            self.hurried[path] = grace_seconds
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


def test_an_empty_cluster_is_not_changed() -> None:
    cluster = Cluster({})
    assert empty(cluster) == []
    assert cluster.deleted == []


@pytest.mark.promise("ordered-removal")
def test_load_balancers_go_before_nodes_and_nodes_before_disks() -> None:
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
        ["nodepools", "gpu"],
        ["ingresses", "dashboard"],
        ["services", "gateway"],
        ["targetgroupbindings", "binding"],
        ["nodeclaims", "gpu-x"],
        ["persistentvolumeclaims", "data"],
    ]


def test_a_step_waits_until_the_one_before_is_gone() -> None:
    cluster = Cluster({INGRESSES: [thing("a")], "/api/v1/services": [thing("b", type="LoadBalancer")]})
    ingress = "/apis/networking.k8s.io/v1/namespaces/team/ingresses/a"
    cluster.slow[ingress] = 3
    gone_first: list[bool] = []
    delete = cluster.delete

    def watched(path: str, **options: Any) -> None:
        if path.endswith("/b"):
            gone_first.append(not cluster.objects[INGRESSES])
        delete(path, **options)

    cluster.delete = watched  # type: ignore[method-assign]
    empty(cluster)
    assert gone_first == [True]


@pytest.mark.promise("no-leftovers")
def test_watching_controllers_get_time_to_delete_their_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosted zone that still has a record of external-dns cannot be deleted."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    far = time.monotonic() + 60
    sweep(Cluster({"/apis/karpenter.sh/v1/nodepools": [thing("gpu", None)]}), volumes=True, deadline=far, settle=30)
    assert slept == []
    sweep(Cluster({INGRESSES: [thing("dashboard")]}), volumes=True, deadline=far, settle=30)
    assert slept == [30]


@pytest.mark.promise("honest-deletion")
def test_a_remaining_object_is_reported_with_its_finalizers_and_the_fix() -> None:
    held = thing("dashboard")
    held["metadata"]["finalizers"] = ["ingress.k8s.aws/resources"]
    cluster = Cluster({INGRESSES: [held]})
    cluster.slow["/apis/networking.k8s.io/v1/namespaces/team/ingresses/dashboard"] = 10**9
    said = (
        r"Ingress still there: team/dashboard \(finalizers: ingress.k8s.aws/resources\); look at the log of the contr"
    )
    with pytest.raises(TimeoutError, match=said):
        empty(cluster, seconds=0.05)


def test_retained_disks_are_listed() -> None:
    made = thing("pvc-1", None, persistentVolumeReclaimPolicy="Delete")
    ours = thing("training-data", None, persistentVolumeReclaimPolicy="Retain")
    cluster = Cluster({CLAIMS: [thing("data")], "/api/v1/persistentvolumes": [made, ours]})
    assert empty(cluster, volumes=False) == ["pvc-1"]
    assert cluster.deleted == []
    made["spec"] |= {"csi": {"volumeHandle": "vol-1"}, "claimRef": {"namespace": "team", "name": "data"}}
    assert empty(cluster, volumes=False) == ["pvc-1 (vol-1) of claim team/data"]


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


def node(name: str) -> Any:
    return {**thing(f"claim-{name}", None), "status": {"nodeName": name}}


def pod(name: str, node: str, *, owner: tuple[str, str] | None = None, **metadata: Any) -> Any:
    made = thing(name, owner=owner, nodeName=node)
    return {**made, "metadata": {**made["metadata"], **metadata}}


CLAIMED = "/apis/karpenter.sh/v1/nodeclaims"
PODS = "/api/v1/pods"
BUDGETS = "/apis/policy/v1/poddisruptionbudgets"


@pytest.mark.parametrize(
    ("selector", "deleted"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({}, True),  # every pod of the namespace
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_budget_that_covers_a_pod_on_a_node_that_goes_goes_first(
    selector: dict[str, Any], deleted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evicted pods are not recreated, so an ordinary budget would block the node forever."""
    cluster = Cluster(
        {
            CLAIMED: [node("n1")],
            PODS: [pod("web-1", "n1", labels={"app": "web"})],
            BUDGETS: [thing("web", selector=selector)],
        }
    )
    empty(cluster)
    budget = "/apis/policy/v1/namespaces/team/poddisruptionbudgets/web"
    claim = "/apis/karpenter.sh/v1/nodeclaims/claim-n1"
    assert cluster.deleted == ([budget, claim] if deleted else [claim])
    assert ("PodDisruptionBudget team/web" in capsys.readouterr().out) == deleted


def test_budgets_of_pods_elsewhere_stay() -> None:
    cluster = Cluster(
        {
            CLAIMED: [node("n1")],
            PODS: [pod("web-1", "n2", labels={"app": "web"}), pod("log-1", "n1", owner=("DaemonSet", "log"))],
            BUDGETS: [thing("web", selector={})],
        }
    )
    empty(cluster)
    assert cluster.deleted == ["/apis/karpenter.sh/v1/nodeclaims/claim-n1"]


def test_what_is_behind_a_pod_that_must_not_be_disrupted_goes_first_and_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = {"karpenter.sh/do-not-disrupt": "true"}
    cluster = Cluster(
        {
            CLAIMED: [node("n1")],
            PODS: [pod("train-x", "n1", owner=("Job", "train"), annotations=kept), pod("bare", "n1", annotations=kept)],
            "jobs": [thing("train")],
        }
    )
    empty(cluster)
    assert cluster.deleted == [
        "/apis/batch/v1/namespaces/team/jobs/train",
        "/api/v1/namespaces/team/pods/bare",
        "/apis/karpenter.sh/v1/nodeclaims/claim-n1",
    ]
    assert "pod with karpenter.sh/do-not-disrupt team/train-x, team/bare" in capsys.readouterr().out


def test_slow_pods_are_killed_after_a_timeout() -> None:
    cluster = Cluster({CLAIMED: [node("n1")], PODS: [pod("slow", "n1")]})
    claim, slow = "/apis/karpenter.sh/v1/nodeclaims/claim-n1", "/api/v1/namespaces/team/pods/slow"
    cluster.slow[claim] = 10**9
    with pytest.raises(TimeoutError, match="NodeClaim still there: claim-n1"):
        sweep(cluster, volumes=False, deadline=time.monotonic() + 0.05, pause=0, settle=0, patience=0)
    assert cluster.hurried == {slow: 30}


def test_node_pools_are_deleted_before_their_nodes() -> None:
    pool = "/apis/karpenter.sh/v1/nodepools/gpu"
    cluster = Cluster({"/apis/karpenter.sh/v1/nodepools": [thing("gpu", None)]})
    empty(cluster)
    assert cluster.background == {pool: True}
