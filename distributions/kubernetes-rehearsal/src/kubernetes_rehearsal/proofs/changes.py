"""Changes of a running workload: an update in place under load, and a drain that keeps disruption budgets."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.proofs.findings import Finding
from kubernetes_rehearsal.proofs.workloads import KINDS, is_available

_UPDATED = "rehearsal.invalid/updated-at"
_REQUEST_SECONDS = 0.02
_POLL_SECONDS = 0.2
_MIRROR = "kubernetes.io/config.mirror"
_BUDGETS = "/apis/policy/v1/poddisruptionbudgets"

Object = dict[str, Any]


@dataclass
class Load:
    """Requests that were made while something changed."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def under_load(request: Callable[[], object]) -> Iterator[Load]:
    """Make requests, one after the other, until the block ends.

    :param request: raises where it is not answered.
    """
    load, ended = Load(), threading.Event()

    def run() -> None:
        while not ended.wait(_REQUEST_SECONDS):
            try:
                request()
                load.answered += 1
            except Exception as error:
                load.failures.append(repr(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield load
    finally:
        ended.set()
        thread.join()


def check_update(
    api: ApiClient, kind: str, namespace: str, name: str, request: Callable[[], object], *, bound_seconds: float = 120
) -> list[Finding]:
    """Replace every pod of a workload while requests go on; each must be answered.

    :param kind: ``Deployment``, ``StatefulSet`` or ``DaemonSet``.
    :param request: one request to the workload's Service.
    """
    place = f"{kind} {namespace}/{name}"
    path = f"/apis/apps/v1/namespaces/{namespace}/{KINDS[kind]}/{name}"
    annotations = {_UPDATED: str(time.time())}
    with under_load(request) as load:
        time.sleep(_POLL_SECONDS)  # requests go on before the change
        api.request("PATCH", path, {"spec": {"template": {"metadata": {"annotations": annotations}}}}, MERGE_PATCH)
        until = time.monotonic() + bound_seconds
        while not (updated := is_available(kind, api.get(path))) and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        time.sleep(_POLL_SECONDS)
    findings = [] if updated else [Finding(place, f"an update is not complete after {bound_seconds:.0f} s")]
    if load.failures:
        share = f"{len(load.failures)} of {load.answered + len(load.failures)} requests"
        findings.append(Finding(place, f"{share} failed during an update: {load.failures[0]}"))
    elif not load.answered:
        findings.append(Finding(place, "no request was made during an update"))
    return findings


def check_drain(api: ApiClient, node: str, *, bound_seconds: float = 120) -> list[Finding]:
    """Evict every pod of a node but those of DaemonSets, as ``kubectl drain`` does, then allow pods on it again.

    No disruption budget may be broken meanwhile, and the node must be empty in time.
    """
    path = f"/api/v1/nodes/{node}"
    api.request("PATCH", path, {"spec": {"unschedulable": True}}, MERGE_PATCH)
    broken: set[Finding] = set()
    try:
        until = time.monotonic() + bound_seconds
        while (left := [pod for pod in _pods_on(api, node) if _is_evicted(pod)]) and time.monotonic() < until:
            for pod in left:
                broken.update(_broken_budgets(api))
                _evict(api, pod)
            time.sleep(_POLL_SECONDS)
    finally:
        api.request("PATCH", path, {"spec": {"unschedulable": False}}, MERGE_PATCH)
    names = ", ".join(sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in left))
    stuck = (
        [Finding(f"Node {node}", f"is not empty {bound_seconds:.0f} s after a drain began: {names}")] if left else []
    )
    return [*sorted(broken), *stuck]


def _pods_on(api: ApiClient, node: str) -> list[Object]:
    return api.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")


def _is_evicted(pod: Object) -> bool:
    metadata = pod["metadata"]
    owners = {owner["kind"] for owner in metadata.get("ownerReferences") or []}
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") and "deletionTimestamp" not in metadata
    return "DaemonSet" not in owners and _MIRROR not in (metadata.get("annotations") or {}) and not ended


def _evict(api: ApiClient, pod: Object) -> None:
    """Ask for an eviction; the API refuses while a budget would be broken, and the next round asks again."""
    metadata = pod["metadata"]
    if "deletionTimestamp" in metadata:
        return
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    }
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction"
    try:
        api.request("POST", path, eviction)
    except ApiFailure as failure:
        ending = failure.code == 403 and failure.message.endswith(
            "because it is being terminated"
        )  # with its namespace
        if failure.code not in (404, 429) and not ending:
            raise


def _broken_budgets(api: ApiClient) -> Iterator[Finding]:
    for budget in api.items(_BUDGETS):
        status, metadata = budget.get("status") or {}, budget["metadata"]
        healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        if status.get("expectedPods") and healthy < wanted:
            place = f"PodDisruptionBudget {metadata['namespace']}/{metadata['name']}"
            yield Finding(place, f"broken at a drain: {healthy} of {wanted} pods healthy")
