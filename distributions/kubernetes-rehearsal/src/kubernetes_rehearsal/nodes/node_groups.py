"""From managed node groups, as EKS describes them, to the nodes of a sandbox, and which group grows for a pod."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubernetes_rehearsal.nodes.node import NodeSettings, Taint

_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    "NO_EXECUTE": "NoExecute",
}
_GROUP_LABEL = "eks.amazonaws.com/nodegroup"
_CAPACITY_LABEL = "eks.amazonaws.com/capacityType"


@dataclass(frozen=True)
class Instance:
    """What an EC2 instance type gives to a node.

    :param extended_resources: such as ``{"nvidia.com/gpu": 1}``.
    """

    cpus: int
    memory_mib: int
    extended_resources: Mapping[str, int]


@dataclass(frozen=True)
class NodeGroup:
    """A managed node group.

    :param labels: of its nodes.
    :param taints: of its nodes, with effects as Kubernetes or as EKS writes them.
    :param desired: number of its nodes.
    :param most: number of nodes up to which an autoscaler may add some.
    :param zones: Availability Zones of its subnets.
    """

    name: str
    instance_types: Sequence[str]
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    desired: int
    zones: Sequence[str]
    capacity: str = "ON_DEMAND"
    most: int = 0


def nodes_for(region: str, groups: Iterable[NodeGroup], instance: Callable[[str], Instance]) -> list[NodeSettings]:
    """The nodes that represent the groups of a cluster: one for each kind of node with a desired size of at least one.

    Groups with the same labels and taints, such as the groups of one purpose in several zones, share a node, which has
    the processors, memory and accelerators of all their nodes.

    :param instance: by the name of an instance type; called with the first of a group.
    """
    nodes: dict[tuple[object, ...], NodeSettings] = {}
    for group in sorted(groups, key=lambda one: one.name):
        if group.desired < 1:
            continue
        taints = tuple(
            Taint(taint["key"], taint.get("value", ""), _EFFECTS.get(taint["effect"], taint["effect"]))
            for taint in group.taints
        )
        kind = (*sorted(group.labels.items()), *((one.key, one.value, one.effect) for one in taints), group.capacity)
        type_ = group.instance_types[0]
        has = instance(type_)
        cpus, memory = group.desired * has.cpus, group.desired * has.memory_mib
        extended = {name: group.desired * count for name, count in has.extended_resources.items()}
        if shared := nodes.get(kind):
            nodes[kind] = replace(
                shared,
                cpus=(shared.cpus or 0) + cpus,
                memory_mib=(shared.memory_mib or 0) + memory,
                extended_resources={
                    name: shared.extended_resources.get(name, 0) + extended.get(name, 0)
                    for name in {*shared.extended_resources, *extended}
                },
            )
            continue
        nodes[kind] = NodeSettings(
            name=_node_name(group.name),
            labels={
                **group.labels,
                _GROUP_LABEL: group.name,
                _CAPACITY_LABEL: group.capacity,
                "node.kubernetes.io/instance-type": type_,
                "topology.kubernetes.io/region": region,
                "topology.kubernetes.io/zone": group.zones[0],
            },
            taints=taints,
            cpus=cpus,
            memory_mib=memory,
            extended_resources=extended,
        )
    return list(nodes.values())


def group_for(
    pod: Mapping[str, Any], region: str, groups: Iterable[NodeGroup], instance: Callable[[str], Instance]
) -> NodeGroup | None:
    """The group without nodes that an autoscaler would give one, for a pod that no node takes; None if none fits.

    Of several groups, it is one without accelerators, without taints and with few processors.
    """
    fitting = []
    for group in groups:
        if group.desired < 1 <= group.most:
            (node,) = nodes_for(region, [replace(group, desired=1)], instance)
            if _takes(node, pod["spec"]):
                cost = len(node.extended_resources), len(node.taints), node.cpus, node.memory_mib, group.name
                fitting.append((cost, group))
    return min(fitting)[1] if fitting else None


def _takes(node: NodeSettings, spec: Mapping[str, Any]) -> bool:
    """Whether a node takes a pod, by selector, required affinity, taints and accelerators."""
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **node.labels}
    required = (
        (spec.get("affinity") or {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    terms = required["nodeSelectorTerms"] if required else [{}]
    tolerations = spec.get("tolerations") or []
    limits = [(container.get("resources") or {}).get("limits") or {} for container in spec["containers"]]
    wanted = {name for each in limits for name in each if "." in name.partition("/")[0]}
    return (
        (spec.get("nodeSelector") or {}).items() <= labels.items()
        and any(all(_matches(labels, one) for one in term.get("matchExpressions") or []) for term in terms)
        and all(
            any(_tolerates(one, taint) for one in tolerations)
            for taint in node.taints
            if taint.effect != "PreferNoSchedule"
        )
        and wanted <= node.extended_resources.keys()
    )


def _matches(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    has = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return has in expression["values"]
        case "NotIn":
            return has not in expression["values"]
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
    return False  # a comparison of numbers, which no chart of ours has


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    return (
        toleration.get("key") in (None, taint.key)
        and (toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.value)
        and toleration.get("effect") in (None, taint.effect)
    )


def _node_name(group: str) -> str:
    """A name as EKS gives its nodes, the same for a group every time."""
    number = zlib.crc32(group.encode())
    return f"ip-10-88-{number % 250}-{number // 250 % 250}.ec2.internal"
