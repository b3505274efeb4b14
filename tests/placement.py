"""Where the scheduler may put a pod: node groups against a pod's node selection and tolerations."""

from collections.abc import Iterable, Mapping
from typing import Any

from mlplatform_constructs import NodeGroupSpec


def groups_that_take(pod: Mapping[str, Any], groups: Iterable[NodeGroupSpec]) -> list[str]:
    """Names of the groups on whose nodes a pod with this spec may run.

    Judges what placement is made of: ``nodeSelector``, required node affinity, taints of effect ``NoSchedule``, and
    accelerators that containers ask for. Pods that are bound to a node already (``nodeName``) pass everywhere.
    """
    return [group.name for group in groups if "nodeName" in pod or _takes(pod, group)]


def _takes(pod: Mapping[str, Any], group: NodeGroupSpec) -> bool:
    labels = {"kubernetes.io/os": "linux", **group.labels}
    return (
        all(labels.get(key) == value for key, value in pod.get("nodeSelector", {}).items())
        and _affine(pod, labels)
        and all(any(_tolerates(t, taint) for t in pod.get("tolerations", [])) for taint in group.taints)
        and _devices(pod) <= ({group.device_resource} if group.device_resource else set())
    )


def _affine(pod: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms")
    if terms is None:
        return True
    return any(all(_matches(e, labels) for e in term.get("matchExpressions", [])) for term in terms)


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(f"operator {expression['operator']} is not judged here")


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect", taint["effect"]) != taint["effect"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key", taint["key"]) == taint["key"]
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint["value"]


def _devices(pod: Mapping[str, Any]) -> set[str]:
    containers = [*pod.get("containers", []), *pod.get("initContainers", [])]
    asked = {name for c in containers for name in c.get("resources", {}).get("limits", {})}
    return {name for name in asked if "/" in name}
