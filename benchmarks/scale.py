"""``python -m benchmarks.scale``: many nodes and pods on a real control plane: times, objects and memory."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import missing_for_nodes
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.inventory import objects
from kubernetes_rehearsal.nodes.fake_nodes import FakeNodes, add_fake_node
from kubernetes_rehearsal.nodes.node import PAUSE_IMAGE, Taint
from rehearsal.real_cluster import RealCluster, real_cluster

NODES, PODS = 500, 1000
_GPU = Taint("nvidia.com/gpu", "present", "NoSchedule")
_GPU_SHARE = 5
_NAMESPACE = "scale"
_BOUND_SECONDS = 600
_POLL_SECONDS = 1.0

Object = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """What a run measured.

    :param ready: seconds until every node was ready.
    :param placed: seconds until every pod had a node.
    :param running: seconds until every pod was reported running.
    :param objects: in the cluster, without events, leases and endpoints.
    :param memory: resident bytes of each program of the control plane.
    :param misplaced: pods on a node whose taint they do not tolerate.
    """

    ready: float
    placed: float
    running: float
    objects: int
    memory: dict[str, int]
    misplaced: int


def measure(cluster: RealCluster, kwok: Path, nodes: int, pods: int) -> Scale:
    """Add nodes without machines, every fifth of them with a GPU and its taint; then pods that do not tolerate it.

    :param kwok: the built program.
    :raises SystemExit: if nodes or pods are not ready in time.
    """
    api = cluster.api
    tainted = {f"fake-{number}" for number in range(0, nodes, _GPU_SHARE)}
    with FakeNodes(kwok, cluster.access, cluster.token) as fake:
        started = time.monotonic()
        for number in range(nodes):
            name = f"fake-{number}"
            add_fake_node(api, name, labels={"scale": "yes"}, taints=[_GPU] if name in tainted else [])
        ready = _until("nodes ready", started, nodes, fake, lambda: sum(map(_is_ready, api.items("/api/v1/nodes"))) - 1)
        started = time.monotonic()
        _create_pods(api, pods)
        listed = f"/api/v1/namespaces/{_NAMESPACE}/pods?resourceVersion=0"
        placed = _until("pods placed", started, pods, fake, lambda: sum(map(_is_placed, api.items(listed))))
        running = _until("pods running", started, pods, fake, lambda: sum(map(_is_running, api.items(listed))))
        misplaced = sum(pod["spec"]["nodeName"] in tainted for pod in api.items(listed))
        count = sum(1 for _ in objects(api))
        return Scale(ready, placed, running, count, cluster.sandbox.memory(), misplaced)


def _create_pods(api: ApiClient, count: int) -> None:
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
    labels = {"app": "scale"}
    container = {"name": "main", "image": PAUSE_IMAGE, "resources": {"requests": {"cpu": "1"}}}
    pod = {"nodeSelector": {"scale": "yes"}, "containers": [container]}
    spec = {
        "replicas": count,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    path = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments"
    api.request("POST", path, {"metadata": {"name": "scale"}, "spec": spec})


def _until(what: str, started: float, wanted: int, fake: FakeNodes, count: Callable[[], int]) -> float:
    """Seconds from the start until there are as many as wanted."""
    while (found := count()) < wanted:
        fake.check()
        if time.monotonic() - started > _BOUND_SECONDS:
            sys.exit(f"scale: {found} of {wanted} {what} after {_BOUND_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started


def _is_ready(node: Object) -> bool:
    conditions = node["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _is_placed(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName"))


def _is_running(pod: Object) -> bool:
    return bool(pod["status"].get("phase") == "Running")


def main() -> None:
    """Print a table, or why this machine cannot measure it."""
    built = programs.node_programs()
    kwok = built.binaries / "kwok" if built else None
    lacks = [*missing_for_nodes(), *([] if kwok and kwok.exists() else ["go/kwok"])]
    if lacks or not kwok:
        print(f"Scale: not measured, because this machine lacks {', '.join(lacks)}.")
        return
    with real_cluster() as cluster:
        found = measure(cluster, kwok, NODES, PODS)
    print(f"{NODES} nodes of KWOK and {PODS} pods on a real control plane, by the clock.\n")
    print("| what | figure |\n|---|---|")
    for what, figure in (
        ("all nodes ready", f"{found.ready:.1f} s"),
        ("all pods placed", f"{found.placed:.1f} s"),
        ("all pods running", f"{found.running:.1f} s"),
        ("pods on nodes whose taint they do not tolerate", str(found.misplaced)),
        ("objects, without events, leases and endpoints", f"{found.objects:,}"),
        *((f"memory of {name}", f"{size / 2**20:.0f} MiB") for name, size in sorted(found.memory.items())),
    ):
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
