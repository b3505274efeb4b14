"""Pods and disruption budgets that block the deletion of claims and nodes.

Karpenter drains a node before it terminates it, and waits for every disruption budget and for every pod with the
annotation ``karpenter.sh/do-not-disrupt``, forever if the node's claim has no termination grace period. While a cluster
is deleted, evicted pods are not recreated, so a budget that allows one eviction blocks the next.

https://karpenter.sh/docs/concepts/disruption/
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

Object = Mapping[str, Any]

NODE_CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
PODS = "/api/v1/pods"
BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Their pods belong to add-ons, which the cluster needs until the end."""
_DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
_LAST_SECONDS = 30
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
    """What is needed of a cluster."""

    def list(self, path: str) -> Iterable[Object]: ...

    def get(self, path: str) -> Object | None: ...

    def delete(self, path: str, *, background: bool = False, grace_seconds: int | None = None) -> None: ...


def stop_users_of_claims(api: Api) -> None:
    """Delete what is behind pods that mount a claim: Kubernetes keeps the claim, and controllers replace pods."""
    for pod in api.list(PODS):
        mounts = any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or ())
        if mounts and pod["metadata"]["namespace"] not in SYSTEM_NAMESPACES:
            api.delete(_root(api, pod) or _address(pod))


def release_nodes(api: Api) -> None:
    """Delete the budgets and the controllers of pods that would keep Karpenter's nodes from being drained."""
    pods = list(_pods_on_nodes(api))
    budgets = [budget for budget in api.list(BUDGETS) if any(_covers(budget, pod) for pod in pods)]
    for budget in budgets:
        api.delete(f"/apis/policy/v1/namespaces/{budget['metadata']['namespace']}/poddisruptionbudgets/{_name(budget)}")
    held = [pod for pod in pods if (pod["metadata"].get("annotations") or {}).get(_DO_NOT_DISRUPT) == "true"]
    for address in dict.fromkeys(_root(api, pod) or _address(pod) for pod in held):
        api.delete(address)
    for kind, found in (("PodDisruptionBudget", budgets), (f"pod with {_DO_NOT_DISRUPT}", held)):
        if found:
            print(f"deleted, so that nodes can be drained: {kind} {', '.join(map(full_name, found))}")


def end_pods(api: Api) -> None:
    """Delete the pods that still run on Karpenter's nodes, with a grace period of 30 seconds."""
    pods = list(_pods_on_nodes(api))
    for pod in pods:
        api.delete(_address(pod), background=True, grace_seconds=_LAST_SECONDS)
    if pods:
        print(f"ended after {_LAST_SECONDS} seconds, so that nodes can go: {', '.join(map(full_name, pods))}")


def full_name(item: Object) -> str:
    """``namespace/name``, or the name of what has no namespace."""
    return f"{item['metadata'].get('namespace', '')}/{_name(item)}".lstrip("/")


def _pods_on_nodes(api: Api) -> Iterator[Object]:
    """The pods on nodes of Karpenter's, but for those of DaemonSets, which no drain waits for."""
    nodes = {(claim.get("status") or {}).get("nodeName") for claim in api.list(NODE_CLAIMS)} - {None}
    for pod in api.list(PODS) if nodes else ():
        owner = _controller(pod)
        if pod["spec"].get("nodeName") in nodes and not (owner and owner["kind"] == "DaemonSet"):
            yield pod


def _covers(budget: Object, pod: Object) -> bool:
    """Whether a budget's selector finds a pod. An expression that is not understood counts as found."""
    if budget["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    selector = budget["spec"].get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _meets(labels, expression) for expression in selector.get("matchExpressions") or ()
    )


def _meets(labels: Mapping[str, str], expression: Object) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(expression["operator"], True)


def _root(api: Api, pod: Object) -> str | None:
    """Where the controller of the controller of ... a pod is, as far up as its kind is known here."""
    namespace = pod["metadata"]["namespace"]
    if namespace in SYSTEM_NAMESPACES:
        return None
    found, item = None, pod
    while owner := _controller(item):
        path = _OWNERS.get(owner["kind"], "").format(namespace=namespace, name=owner["name"])
        above = api.get(path) if path else None
        if above is None:
            break
        found, item = path, above
    return found


def _controller(item: Object) -> Object | None:
    return next((owner for owner in item["metadata"].get("ownerReferences") or () if owner.get("controller")), None)


def _address(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{_name(pod)}"


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])
