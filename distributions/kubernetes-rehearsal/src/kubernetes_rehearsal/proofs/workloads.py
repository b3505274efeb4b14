"""Every workload becomes available within its bound, restarts nothing, and complains of nothing."""

import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.nodes.admission import STANDS_FOR, STORED_ONLY
from kubernetes_rehearsal.proofs import logs
from kubernetes_rehearsal.proofs.findings import Finding

KINDS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
_POLL_SECONDS = 0.5
_LOG_LINES = 2000
_REPLACED_SECONDS = 20  # as long as a program takes that gives up because something is wrong
_SETTLED_SECONDS = 3  # a program without a readiness probe counts as available until it ends

Object = dict[str, Any]
Workload = tuple[str, Object]
"""Kind and object."""


@dataclass(frozen=True)
class WorkloadReport:
    """What became of the workloads of some namespaces.

    :param running: workloads whose programs run, with the seconds until each was available.
    :param stored_only: workloads whose programs do not run, with the unavailable images, separated by commas, or with
        the images or the add-on that they replace.
    :param idle: workloads that want no pod, for lack of replicas or of nodes.
    :param replaced: why pods were replaced, in a line each.
    """

    running: Mapping[str, float]
    stored_only: Mapping[str, str]
    idle: Sequence[str]
    findings: Sequence[Finding]
    replaced: Sequence[str] = ()


def check_workloads(
    api: ApiClient,
    namespaces: Sequence[str],
    *,
    bound_seconds: float = 120,
    only: Container[str] | None = None,
    second_chance: bool = False,
) -> WorkloadReport:
    """Wait for every workload of the namespaces, then check the logs of their pods.

    :param only: workloads to check, as ``Kind namespace/name``. Default: all.
    :param bound_seconds: time limit for each; a Deployment's own ``progressDeadlineSeconds`` if shorter.
    :param second_chance: replace pods whose containers restarted or repeat an error, and report a fault only if the new
        pods do so, too: on a busy machine, programs wait for others longer than they expect. Default: they are faults.
    """
    checked = [
        (kind, found) for kind, found in workloads(api, namespaces) if only is None or _place(kind, found) in only
    ]
    running, late = _available(api, checked, bound_seconds)
    replaced: list[Finding] = []
    findings: list[Finding] = []
    if second_chance:
        on_time = [one for one in checked if _place(*one) not in late]
        replaced, findings = _replace_troubled(api, on_time, bound_seconds, late)
    findings += [Finding(place, f"not available in time: {_why(api, found)}") for place, found in late.items()]
    stored: dict[str, str] = {}
    idle = []
    for kind, known in checked:
        found = _current(api, kind, known)
        if found is None:
            continue
        pods = pods_of(api, found)
        if stands_for := (found["metadata"].get("annotations") or {}).get(STANDS_FOR):
            stored[_place(kind, found)] = stands_for
            continue
        images = sorted({(pod["metadata"].get("annotations") or {}).get(STORED_ONLY, "") for pod in pods} - {""})
        if images:
            stored[_place(kind, found)] = ",".join(images)
        if not pods and is_available(kind, found):
            idle.append(_place(kind, found))
        for pod in pods:
            findings += pod_findings(api, pod)
    ran = {
        place: seconds
        for place, seconds in running.items()
        if place not in stored and place not in idle and place not in late
    }
    return WorkloadReport(ran, stored, idle, sorted(set(findings)), [str(one) for one in sorted(set(replaced))])


def _available(
    api: ApiClient, checked: Sequence[Workload], bound_seconds: float
) -> tuple[dict[str, float], dict[str, Object]]:
    """Wait for workloads: the seconds until each was available, and the current state of those that are not."""
    started = time.monotonic()
    running: dict[str, float] = {}
    late: dict[str, Object] = {}
    waiting = {_place(kind, found): (kind, found) for kind, found in checked}
    while waiting:
        for place, (kind, known) in list(waiting.items()):
            found = _current(api, kind, known)
            bound = min(bound_seconds, (found or known)["spec"].get("progressDeadlineSeconds", bound_seconds))
            if found is None:
                del waiting[place]
            elif is_available(kind, found):
                since = running.setdefault(place, time.monotonic() - started)
                if time.monotonic() - started - since >= _SETTLED_SECONDS:
                    del waiting[place]
            elif time.monotonic() - started > bound:
                late[place] = found
                del waiting[place]
            else:
                running.pop(place, None)  # it was available for a moment, and its program ended
        if waiting:
            time.sleep(_POLL_SECONDS)
    return running, late


def _replace_troubled(
    api: ApiClient, checked: Sequence[Workload], bound_seconds: float, late: dict[str, Object]
) -> tuple[list[Finding], list[Finding]]:
    """Replace the pods that restarted or repeat an error, and wait for their workloads; those that are late are added.

    :return: why pods were replaced, and the denied permissions of these.
    """
    reasons: list[Finding] = []
    lacking: list[Finding] = []
    affected = {}
    for kind, found in checked:
        for pod in pods_of(api, found):
            denied, repeated = _complaints(api, pod)
            if trouble := [*_restarts(api, pod), *repeated]:
                reasons += trouble
                lacking += denied
                metadata = pod["metadata"]
                api.request("DELETE", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}")
                affected[_place(kind, found)] = (kind, found)
    if affected:
        time.sleep(_REPLACED_SECONDS)
        late |= _available(api, list(affected.values()), bound_seconds)[1]
    return reasons, lacking


def workloads(api: ApiClient, namespaces: Sequence[str]) -> Iterator[tuple[str, Object]]:
    """Every workload of the namespaces, with its kind."""
    for namespace in namespaces:
        for kind, plural in KINDS.items():
            for found in api.items(f"/apis/apps/v1/namespaces/{namespace}/{plural}"):
                yield kind, found


def is_available(kind: str, found: Object) -> bool:
    """Whether every wanted replica of the newest generation is available."""
    status = found.get("status") or {}
    if status.get("observedGeneration") != found["metadata"]["generation"]:
        return False
    if kind == "DaemonSet":
        everywhere = status.get("desiredNumberScheduled", 0)
        scheduled: bool = everywhere == status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0)
        return scheduled
    wanted = found["spec"].get("replicas", 1)
    updated: bool = wanted == status.get("updatedReplicas", 0) == status.get("availableReplicas", 0)
    return updated and status.get("replicas", 0) == wanted


def pods_of(api: ApiClient, found: Object) -> list[Object]:
    """The pods that a workload selects."""
    selector = found["spec"]["selector"].get("matchLabels") or {}
    labels = ",".join(f"{name}%3D{value}" for name, value in selector.items())
    return api.items(f"/api/v1/namespaces/{found['metadata']['namespace']}/pods?labelSelector={labels}")


def pod_findings(api: ApiClient, pod: Object) -> list[Finding]:
    """Restarts of a pod, and what its programs complain of in their logs."""
    denied, repeated = _complaints(api, pod)
    return [*_restarts(api, pod), *denied, *repeated]


def _complaints(api: ApiClient, pod: Object) -> tuple[list[Finding], list[Finding]]:
    """The denied permissions and the repeated errors in the logs of a pod."""
    denied, repeated = [], []
    for container in _containers(pod):
        lines = _log(api, pod, container["name"])
        place = _container_place(pod, container)
        denied += [Finding(place, f"lacks a right; grant it: {line}") for line in logs.denied(lines)]
        repeated += [Finding(place, f"repeats an error: {line}") for line in logs.repeated_errors(lines)]
    return denied, repeated


def _restarts(api: ApiClient, pod: Object) -> list[Finding]:
    findings = []
    for container in _containers(pod):
        if count := container.get("restartCount", 0):
            ended = (container.get("lastState") or {}).get("terminated") or {}
            reason = f"{ended.get('reason', 'unknown')}, exit code {ended.get('exitCode', 'unknown')}"
            lines = logs.cause(_log(api, pod, container["name"], previous=True))
            place = _container_place(pod, container)
            findings.append(Finding(place, f"restarted {count} times: {reason}: {''.join(lines)}"))
    return findings


def _containers(pod: Object) -> list[Object]:
    """The status of each container."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_place(pod: Object, container: Object) -> str:
    metadata = pod["metadata"]
    return f"Pod {metadata['namespace']}/{metadata['name']}: container {container['name']}"


def _log(api: ApiClient, pod: Object, container: str, *, previous: bool = False) -> list[str]:
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
    query = f"container={container}&tailLines={_LOG_LINES}{'&previous=true' if previous else ''}"
    try:
        return api.text(f"{path}?{query}").splitlines()
    except ApiFailure:  # it has not started, or its log is gone
        return []


def _why(api: ApiClient, found: Object) -> str:
    """The first reason that a pod of the workload gives, or the workload itself."""
    pods = pods_of(api, found)
    for pod in pods:
        name = pod["metadata"]["name"]
        for container, reason in _reasons(pod):
            details = logs.cause(_log(api, pod, container)) if container else _warnings(api, found, name)[-1:]
            return ": ".join([f"pod {name}", reason, *details])
    conditions = (found.get("status") or {}).get("conditions") or []
    for condition in sorted(conditions, key=lambda one: one["type"] != "ReplicaFailure"):  # the message of the API
        if condition["type"] == "ReplicaFailure" or condition["status"] == "False":
            return str(condition.get("message", condition.get("reason", "")))
    if warnings := _warnings(api, found, found["metadata"]["name"]):
        return warnings[0]
    return "no pod gives a reason" if pods else "it has no pods"


def _warnings(api: ApiClient, found: Object, name: str) -> list[str]:
    """Warnings about objects of a workload's namespace whose names begin with a name, such as of failing probes."""
    return [
        str(event.get("message", ""))
        for event in api.items(f"/api/v1/namespaces/{found['metadata']['namespace']}/events")
        if event.get("type") == "Warning" and event["involvedObject"].get("name", "").startswith(name)
    ]


def _reasons(pod: Object) -> Iterator[tuple[str, str]]:
    """Why a pod is not ready, each with the name of a container that has ended, if one has."""
    for container in _containers(pod):
        state = container.get("state") or {}
        for part in ("waiting", "terminated"):
            if part in state and state[part].get("reason") not in ("PodInitializing", "ContainerCreating", "Completed"):
                ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
                words = ": ".join(filter(None, (state[part].get("reason"), state[part].get("message"))))
                code = f", exit code {ended['exitCode']}" if ended else ""
                yield container["name"] if ended else "", f"container {container['name']}: {words}{code}"
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition["status"] == "False" and condition.get("message"):
            yield "", f"{condition['type']}: {condition['message']}"


def _current(api: ApiClient, kind: str, found: Object) -> Object | None:
    metadata = found["metadata"]
    path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/{KINDS[kind]}/{metadata['name']}"
    try:
        return api.get(path)
    except ApiFailure as failure:
        if failure.code == 404:
            return None
        raise


def _place(kind: str, found: Object) -> str:
    return f"{kind} {found['metadata']['namespace']}/{found['metadata']['name']}"
