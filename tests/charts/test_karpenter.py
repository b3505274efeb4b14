"""Nodes that Karpenter may make."""

from typing import Any

import cdk8s
import pytest
from syrupy.assertion import SnapshotAssertion

from charts.catalog import Catalog
from charts.nodes.karpenter.objects import KarpenterNodes, NodePool, NodeSettings
from charts.nodes.karpenter.values import karpenter_values

SETTINGS = NodeSettings(
    cluster_name="training",
    instance_profile="profile",
    security_group_id="sg-1",
    subnet_tags={"mlplatform/network": "prod"},
)
TAINT = {"key": "mlplatform/purpose", "value": "training", "effect": "NoSchedule"}


def pool(**changes: Any) -> NodePool:
    given: dict[str, Any] = {
        "name": "training-gpu",
        "labels": {"mlplatform/purpose": "training"},
        "taints": [TAINT],
        "instance_types": ("p4d.24xlarge",),
        "architecture": "amd64",
        "capacity": "on-demand",
        "zones": ("eu-west-1a", "eu-west-1c"),
        "cpus": 384,
        "image": "al2023",
        "disk_gib": 500,
        "disk_throughput": 500,
        "max_pods": 30,
        "accelerated": True,
    }
    return NodePool(**{**given, **changes})


def made(**changes: Any) -> dict[str, Any]:
    """The two objects of a pool, by kind."""
    chart = KarpenterNodes(cdk8s.App(), "Nodes", pools=[pool(**changes)], settings=SETTINGS)
    return {item["kind"]: item["spec"] for item in chart.to_json()}


def requirements(spec: dict[str, Any]) -> dict[str, list[str]]:
    found = spec["template"]["spec"]["requirements"]
    assert {item["operator"] for item in found} == {"In"}
    return {item["key"]: item["values"] for item in found}


@pytest.mark.promise("autoscaler-of-choice")
def test_two_groups(snapshot_json: SnapshotAssertion) -> None:
    spark = pool(
        name="spark", labels={}, taints=[], capacity="spot", max_pods=None, accelerated=False, instance_types=("a", "b")
    )
    assert KarpenterNodes(cdk8s.App(), "Nodes", pools=[pool(), spark], settings=SETTINGS).to_json() == snapshot_json


@pytest.mark.promise("separate-clusters", "gpu-from-zero", "pods-on-their-nodes", "autoscaler-of-choice")
def test_nodes_are_what_the_group_says() -> None:
    spec = made()["NodePool"]
    assert requirements(spec) == {
        "karpenter.sh/capacity-type": ["on-demand"],
        "kubernetes.io/arch": ["amd64"],
        "kubernetes.io/os": ["linux"],
        "node.kubernetes.io/instance-type": ["p4d.24xlarge"],
        "topology.kubernetes.io/zone": ["eu-west-1a", "eu-west-1c"],
    }
    assert spec["template"]["metadata"]["labels"] == {"mlplatform/purpose": "training"}
    assert spec["template"]["spec"]["taints"] == [TAINT]
    assert spec["limits"] == {"cpu": "384"}


@pytest.mark.promise("spot")
@pytest.mark.parametrize("capacity", ["spot", "on-demand"])
def test_capacity_is_spot_only_where_the_group_says_so(capacity: str) -> None:
    assert requirements(made(capacity=capacity)["NodePool"])["karpenter.sh/capacity-type"] == [capacity]


def test_work_on_accelerators_is_not_moved_for_a_cheaper_node() -> None:
    assert made()["NodePool"]["disruption"]["consolidationPolicy"] == "WhenEmpty"
    assert made(accelerated=False)["NodePool"]["disruption"]["consolidationPolicy"] == "WhenEmptyOrUnderutilized"


@pytest.mark.promise("pod-permissions")
def test_pods_cannot_ask_the_nodes_metadata_and_disks_are_encrypted() -> None:
    spec = made()["EC2NodeClass"]
    assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert spec["metadataOptions"]["httpTokens"] == "required"
    (disk,) = spec["blockDeviceMappings"]
    assert disk["ebs"]["encrypted"] is True
    assert disk["ebs"]["volumeSize"] == "500Gi"


@pytest.mark.parametrize(
    ("image", "terms", "family", "device"),
    [
        ("al2023", {"alias": "al2023@latest"}, None, "/dev/xvda"),
        ("bottlerocket", {"alias": "bottlerocket@latest"}, None, "/dev/xvdb"),
        ("ami-0123456789abcdef0", {"id": "ami-0123456789abcdef0"}, "AL2023", "/dev/xvda"),
    ],
)
def test_nodes_start_from_the_groups_image(image: str, terms: dict[str, str], family: str | None, device: str) -> None:
    spec = made(image=image)["EC2NodeClass"]
    assert spec["amiSelectorTerms"] == [terms]
    assert spec.get("amiFamily") == family
    assert spec["blockDeviceMappings"][0]["deviceName"] == device


def test_nodes_are_in_the_clusters_network() -> None:
    spec = made()["EC2NodeClass"]
    assert spec["subnetSelectorTerms"] == [{"tags": {"mlplatform/network": "prod"}}]
    assert spec["securityGroupSelectorTerms"] == [{"id": "sg-1"}]
    assert spec["instanceProfile"] == "profile"


@pytest.mark.parametrize(("max_pods", "kubelet"), [(30, {"maxPods": 30}), (None, None)])
def test_pods_of_a_node_are_limited_where_the_group_says_so(max_pods: int | None, kubelet: Any) -> None:
    assert made(max_pods=max_pods)["EC2NodeClass"].get("kubelet") == kubelet


def test_every_field_is_one_of_the_kinds() -> None:
    """The API server would silently drop an unknown field."""
    kinds = {
        found["spec"]["names"]["kind"]: found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        for found in Catalog.load().definitions("nodes/karpenter")
    }
    for changes in ({}, {"image": "bottlerocket"}, {"image": "ami-0"}):
        for kind, spec in made(**changes).items():
            assert set(spec) <= set(kinds[kind]["properties"])


@pytest.mark.promise("drained-before-removal")
def test_notices_of_interruption_come_through_the_queue() -> None:
    values = karpenter_values(
        images=Catalog.load().images, cluster_name="training", queue_name="notices", isolated=True, placement={}
    )
    assert values["settings"] == {"clusterName": "training", "interruptionQueue": "notices", "isolatedVPC": True}


def test_a_pod_that_is_not_to_be_disrupted_does_not_keep_its_node_for_ever() -> None:
    for accelerated, grace in ((True, "72h"), (False, "24h")):
        spec = made(accelerated=accelerated)["NodePool"]["template"]["spec"]
        assert (spec["expireAfter"], spec["terminationGracePeriod"]) == ("720h", grace)


def test_local_disks_become_one_where_there_are_accelerators() -> None:
    assert made()["EC2NodeClass"]["instanceStorePolicy"] == "RAID0"
    assert "instanceStorePolicy" not in made(accelerated=False)["EC2NodeClass"]


def test_disks_have_the_throughput_of_the_group() -> None:
    (disk,) = made(disk_throughput=250)["EC2NodeClass"]["blockDeviceMappings"]
    assert disk["ebs"]["throughput"] == 250
