"""From managed node groups, as EKS describes them, to the nodes of a sandbox."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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
    :param zones: Availability Zones of its subnets.
    """

    name: str
    instance_types: Sequence[str]
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    desired: int
    zones: Sequence[str]
    capacity: str = "ON_DEMAND"


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


def _node_name(group: str) -> str:
    """A name as EKS gives its nodes, the same for a group every time."""
    number = zlib.crc32(group.encode())
    return f"ip-10-88-{number % 250}-{number // 250 % 250}.ec2.internal"
