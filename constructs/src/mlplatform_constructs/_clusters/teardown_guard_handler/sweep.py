"""What is deleted before a cluster, in which order, and for how long the sweep waits."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .pods import NODE_CLAIMS, end_pods, full_name, release_nodes, stop_users_of_claims

Object = Mapping[str, Any]


class Api(Protocol):
    """What the sweep needs of a cluster."""

    def list(self, path: str) -> Iterable[Object]: ...

    def get(self, path: str) -> Object | None: ...

    def delete(self, path: str, *, background: bool = False, grace_seconds: int | None = None) -> None: ...


@dataclass(frozen=True)
class Step:
    """Objects of one kind that must be gone before the next step.

    :param kind: how they are called in messages.
    :param path: where they are listed, over all namespaces.
    :param wanted: which of them must go.
    :param own: whether to delete them; else they go by what was deleted before, and are only waited for.
    :param watched: whether a controller without a finalizer reacts to their deletion, such as external-dns.
    :param background: delete them before their dependents, instead of after them.
    """

    kind: str
    path: str
    wanted: Callable[[Object], bool] = lambda item: True
    own: bool = True
    watched: bool = False
    background: bool = False


def steps(*, volumes: bool) -> list[Step]:
    """Node pools first, so that no node is created any more; then load balancers, nodes, and disks if they may go."""
    network = "/apis/networking.k8s.io/v1/ingresses"
    found = [
        Step("NodePool", "/apis/karpenter.sh/v1/nodepools", background=True),
        Step("Ingress", network, watched=True),
        Step("Service", "/api/v1/services", lambda item: item["spec"].get("type") == "LoadBalancer", watched=True),
        Step("TargetGroupBinding", "/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings"),
        Step("NodeClaim", NODE_CLAIMS),
    ]
    if volumes:
        found += [
            Step("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
            Step("PersistentVolume", "/api/v1/persistentvolumes", _is_deleted_with_its_claim, own=False),
        ]
    return found


def sweep(
    api: Api, *, volumes: bool, deadline: float, pause: float = 5, settle: float = 30, patience: float = 300
) -> list[str]:
    """Delete and wait, step by step.

    :param volumes: delete claims too, and with them the disks that were created for them.
    :param deadline: time limit, in seconds of ``time.monotonic``.
    :param pause: seconds between two checks.
    :param settle: seconds for controllers that react to deletions without a finalizer.
    :param patience: seconds after which terminating pods get 30 more, regardless of their grace period.
    :returns: the disks that are kept; empty if ``volumes``.
    :raises TimeoutError: naming every object that still exists, its finalizers and what to do.
    """
    was_watched = False
    for step in steps(volumes=volumes):
        if step.kind == "PersistentVolumeClaim":
            stop_users_of_claims(api)
        if step.kind == "NodeClaim":
            release_nodes(api)
        found = _found(api, step) if step.own else []
        was_watched |= step.watched and bool(found)
        for item in found:
            api.delete(_address(step, item), background=step.background)
        hurry = time.monotonic() + patience if step.kind == "NodeClaim" else None
        while left := _found(api, step):
            if time.monotonic() > deadline:
                raise TimeoutError(_complaint(step, left))
            if hurry is not None and time.monotonic() > hurry:
                end_pods(api)
                hurry = None
            time.sleep(pause)
    if was_watched:
        time.sleep(settle)
    if volumes:
        return []
    return [_disk(item) for item in api.list("/api/v1/persistentvolumes") if _is_deleted_with_its_claim(item)]


def _found(api: Api, step: Step) -> list[Object]:
    return [item for item in api.list(step.path) if step.wanted(item)]


def _is_deleted_with_its_claim(volume: Object) -> bool:
    return bool(volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete")


def _address(step: Step, item: Object) -> str:
    namespace = item["metadata"].get("namespace")
    if namespace is None:
        return f"{step.path}/{_name(item)}"
    group, _, plural = step.path.rpartition("/")
    return f"{group}/namespaces/{namespace}/{plural}/{_name(item)}"


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _disk(volume: Object) -> str:
    """A volume by name, with its disk and its claim, if known."""
    spec = volume["spec"]
    handle, claim = (spec.get("csi") or {}).get("volumeHandle"), spec.get("claimRef")
    return (
        _name(volume)
        + (f" ({handle})" if handle else "")
        + (f" of claim {claim['namespace']}/{claim['name']}" if claim else "")
    )


def _complaint(step: Step, left: list[Object]) -> str:
    named = ", ".join(
        full_name(item) + (f" (finalizers: {', '.join(held)})" if (held := item["metadata"].get("finalizers")) else "")
        for item in left[:20]
    )
    more = f" and {len(left) - 20} more" if len(left) > 20 else ""
    return (
        f"{step.kind} still there: {named}{more}; look at the log of the controller that holds the finalizer, "
        "remove the cause, then delete the stack again"
    )
