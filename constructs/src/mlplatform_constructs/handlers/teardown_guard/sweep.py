"""What has to go before a cluster may, in which order, and how long it may take."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Object = Mapping[str, Any]

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Their pods belong to add-ons, which the cluster needs until the end."""

_OWNERS = {
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
    "StatefulSet": "/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}",
    "ReplicaSet": "/apis/apps/v1/namespaces/{namespace}/replicasets/{name}",
    "DaemonSet": "/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}",
    "Job": "/apis/batch/v1/namespaces/{namespace}/jobs/{name}",
    "CronJob": "/apis/batch/v1/namespaces/{namespace}/cronjobs/{name}",
    "Notebook": "/apis/kubeflow.org/v1/namespaces/{namespace}/notebooks/{name}",
}


class Api(Protocol):
    """What the sweep needs of a cluster."""

    def list(self, path: str) -> Iterable[Object]: ...

    def get(self, path: str) -> Object | None: ...

    def delete(self, path: str) -> None: ...


@dataclass(frozen=True)
class Step:
    """Objects of one kind that must be gone before the next step.

    :param kind: how they are called in messages.
    :param path: where they are listed, over all namespaces.
    :param wanted: which of them must go.
    :param own: whether to delete them; else they go by what was deleted before, and are only waited for.
    :param watched: whether somebody who holds no finalizer acts on their deletion, as external-dns does.
    """

    kind: str
    path: str
    wanted: Callable[[Object], bool] = lambda item: True
    own: bool = True
    watched: bool = False


def steps(*, volumes: bool) -> list[Step]:
    """Load balancers first, then nodes that no Auto Scaling group knows, then disks if they may go."""
    network = "/apis/networking.k8s.io/v1/ingresses"
    found = [
        Step("Ingress", network, watched=True),
        Step("Service", "/api/v1/services", lambda item: item["spec"].get("type") == "LoadBalancer", watched=True),
        Step("TargetGroupBinding", "/apis/elbv2.k8s.aws/v1beta1/targetgroupbindings"),
        Step("NodePool", "/apis/karpenter.sh/v1/nodepools"),
        Step("NodeClaim", "/apis/karpenter.sh/v1/nodeclaims"),
    ]
    if volumes:
        found += [
            Step("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
            Step("PersistentVolume", "/api/v1/persistentvolumes", _goes_with_its_claim, own=False),
        ]
    return found


def sweep(api: Api, *, volumes: bool, deadline: float, pause: float = 5, settle: float = 30) -> list[str]:
    """Delete and wait, step by step.

    :param volumes: delete claims too, and with them the disks that were made for them.
    :param deadline: when to give up, in seconds of ``time.monotonic``.
    :param pause: seconds between two looks.
    :param settle: seconds to leave to those who act on deletions that they have only watched.
    :returns: the disks that stay, by name; empty if ``volumes``.
    :raises TimeoutError: naming every object that is still there, its finalizers and what to do.
    """
    was_watched = False
    for step in steps(volumes=volumes):
        if step.kind == "PersistentVolumeClaim":
            _stop_users_of_claims(api)
        doomed = _found(api, step) if step.own else []
        was_watched |= step.watched and bool(doomed)
        for item in doomed:
            api.delete(_address(step, item))
        while left := _found(api, step):
            if time.monotonic() > deadline:
                raise TimeoutError(_complaint(step, left))
            time.sleep(pause)
    if was_watched:
        time.sleep(settle)
    if volumes:
        return []
    return [_name(item) for item in api.list("/api/v1/persistentvolumes") if _goes_with_its_claim(item)]


def _found(api: Api, step: Step) -> list[Object]:
    return [item for item in api.list(step.path) if step.wanted(item)]


def _goes_with_its_claim(volume: Object) -> bool:
    return bool(volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete")


def _stop_users_of_claims(api: Api) -> None:
    """Kubernetes keeps a claim while a pod mounts it, and controllers bring pods back: delete what is behind them."""
    for pod in api.list("/api/v1/pods"):
        namespace = pod["metadata"]["namespace"]
        mounts = any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or ())
        if mounts and namespace not in SYSTEM_NAMESPACES:
            api.delete(_root(api, namespace, pod) or f"/api/v1/namespaces/{namespace}/pods/{_name(pod)}")


def _root(api: Api, namespace: str, item: Object) -> str | None:
    """Where the controller of the controller of ... a pod is, as far up as its kind is known here."""
    found = None
    while owner := next((o for o in item["metadata"].get("ownerReferences") or () if o.get("controller")), None):
        path = _OWNERS.get(owner["kind"], "").format(namespace=namespace, name=owner["name"])
        above = api.get(path) if path else None
        if above is None:
            break
        found, item = path, above
    return found


def _address(step: Step, item: Object) -> str:
    namespace = item["metadata"].get("namespace")
    if namespace is None:
        return f"{step.path}/{_name(item)}"
    group, _, plural = step.path.rpartition("/")
    return f"{group}/namespaces/{namespace}/{plural}/{_name(item)}"


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _complaint(step: Step, left: list[Object]) -> str:
    named = ", ".join(
        f"{item['metadata'].get('namespace', '')}/{_name(item)}".lstrip("/")
        + (f" (finalizers: {', '.join(held)})" if (held := item["metadata"].get("finalizers")) else "")
        for item in left[:20]
    )
    more = f" and {len(left) - 20} more" if len(left) > 20 else ""
    return (
        f"{step.kind} still there: {named}{more}; look at the log of the controller that holds the finalizer, "
        "remove the cause, then delete the stack again"
    )
