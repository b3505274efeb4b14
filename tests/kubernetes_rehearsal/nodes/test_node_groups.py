"""Nodes of a sandbox, from managed node groups."""

from dataclasses import replace

from kubernetes_rehearsal.nodes.node import Taint
from kubernetes_rehearsal.nodes.node_groups import Instance, NodeGroup, nodes_for

SYSTEM = NodeGroup(
    name="system-a",
    instance_types=("m7i.xlarge",),
    labels={"mlplatform/purpose": "system"},
    taints=({"key": "CriticalAddonsOnly", "value": "true", "effect": "NO_SCHEDULE"},),
    desired=1,
    zones=("us-east-1a",),
)
GPU = NodeGroup(
    name="gpu-a",
    instance_types=("g5.xlarge", "g5.2xlarge"),
    labels={"mlplatform/purpose": "inference"},
    taints=({"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"},),
    desired=2,
    zones=("us-east-1b",),
    capacity="SPOT",
)
INSTANCES = {"m7i.xlarge": Instance(4, 16384, {}), "g5.xlarge": Instance(4, 16384, {"nvidia.com/gpu": 1})}


def test_a_node_bears_what_its_group_gives_it() -> None:
    (node,) = nodes_for("us-east-1", [GPU], INSTANCES.__getitem__)
    assert node.labels == {
        "mlplatform/purpose": "inference",
        "eks.amazonaws.com/nodegroup": "gpu-a",
        "eks.amazonaws.com/capacityType": "SPOT",
        "node.kubernetes.io/instance-type": "g5.xlarge",
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": "us-east-1b",
    }
    assert list(node.taints) == [Taint("nvidia.com/gpu", "present", "NoSchedule")]
    assert (node.cpus, node.memory_mib, node.extended_resources) == (8, 32768, {"nvidia.com/gpu": 2})


def test_groups_of_one_purpose_in_several_zones_share_a_node() -> None:
    groups = [SYSTEM, replace(SYSTEM, name="system-b", zones=("us-east-1b",)), GPU]
    assert [
        node.labels["eks.amazonaws.com/nodegroup"] for node in nodes_for("us-east-1", groups, INSTANCES.__getitem__)
    ] == ["gpu-a", "system-a"]


def test_a_shared_node_has_the_processors_and_memory_of_all_nodes_that_it_represents() -> None:
    groups = [SYSTEM, replace(SYSTEM, name="system-b", zones=("us-east-1b",), desired=2)]
    (node,) = nodes_for("us-east-1", groups, INSTANCES.__getitem__)
    assert (node.cpus, node.memory_mib, node.extended_resources) == (12, 49152, {})


def test_a_group_of_no_nodes_has_none() -> None:
    assert nodes_for("us-east-1", [replace(SYSTEM, desired=0)], INSTANCES.__getitem__) == []


def test_a_node_keeps_its_name_when_groups_are_added() -> None:
    (alone,) = nodes_for("us-east-1", [SYSTEM], INSTANCES.__getitem__)
    assert alone in nodes_for("us-east-1", [GPU, SYSTEM], INSTANCES.__getitem__)
