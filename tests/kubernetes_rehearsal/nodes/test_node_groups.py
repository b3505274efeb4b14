"""Nodes of a sandbox, from managed node groups."""

from dataclasses import replace
from typing import Any

import pytest

from kubernetes_rehearsal.nodes.node import Taint
from kubernetes_rehearsal.nodes.node_groups import Instance, NodeGroup, group_for, nodes_for

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


EMPTY_SYSTEM, EMPTY_GPU = (replace(group, desired=0, most=3) for group in (SYSTEM, GPU))
GENERAL = replace(EMPTY_SYSTEM, name="general", labels={"mlplatform/purpose": "general"}, taints=())
TOLERATED = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def grown(pod: dict[str, Any], *groups: NodeGroup) -> str | None:
    """Name of the group that grows for a pod."""
    spec = {"containers": [{"name": "main"}], **pod}
    found = group_for({"spec": spec}, "us-east-1", groups, INSTANCES.__getitem__)
    return found.name if found else None


def test_a_pod_that_no_node_takes_gets_one_of_the_cheapest_group_that_does() -> None:
    everything = {"tolerations": [{"operator": "Exists"}]}
    assert grown({}, EMPTY_GPU, EMPTY_SYSTEM, GENERAL) == "general"
    assert grown(everything, EMPTY_GPU, EMPTY_SYSTEM) == "system-a"
    gpus = [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "1Gi"}}}]
    assert grown({**everything, "containers": gpus}, EMPTY_GPU, EMPTY_SYSTEM, GENERAL) == "gpu-a"


@pytest.mark.parametrize(
    "groups",
    [
        (EMPTY_SYSTEM, EMPTY_GPU),  # their taints
        (replace(GENERAL, most=0),),
        (replace(GENERAL, desired=1),),  # another node is the business of its own scheduler
    ],
)
def test_no_group_grows_that_does_not_take_the_pod_or_has_a_node(groups: tuple[NodeGroup, ...]) -> None:
    assert grown({}, *groups) is None


@pytest.mark.parametrize(
    ("operator", "values", "takes"),
    [
        ("In", ["inference"], True),
        ("In", ["training"], False),
        ("NotIn", ["training"], True),
        ("NotIn", ["inference"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], False),
    ],
)
def test_a_group_grows_only_for_what_its_labels_fulfil(operator: str, values: list[str], takes: bool) -> None:
    term = {"matchExpressions": [{"key": "mlplatform/purpose", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = {"affinity": {"nodeAffinity": required}, "tolerations": TOLERATED}
    assert (grown(pod, EMPTY_GPU) == "gpu-a") is takes
    assert (
        grown({"nodeSelector": {"mlplatform/purpose": "inference"}, "tolerations": TOLERATED}, EMPTY_GPU)
    ) == "gpu-a"
    assert grown({"nodeSelector": {"mlplatform/purpose": "other"}, "tolerations": TOLERATED}, EMPTY_GPU) is None


@pytest.mark.parametrize(
    ("toleration", "takes"),
    [
        ({"key": "nvidia.com/gpu", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_group_grows_only_for_a_pod_that_tolerates_its_taints(toleration: dict[str, str], takes: bool) -> None:
    assert (grown({"tolerations": [toleration]}, EMPTY_GPU) == "gpu-a") is takes
