"""No update of a node group ever carries what EKS refuses to update together with anything else."""

from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from mlplatform_constructs import ConfigurationError, NodeGroupSpec
from mlplatform_constructs._clusters.cluster_zones import ClusterZones
from mlplatform_constructs._clusters.launch_template import ControlPlane
from mlplatform_constructs._clusters.managed_node_groups import create_node_group, managed_node_groups
from tests.clusters import cluster, properties

ALONE = {"LaunchTemplate", "Version", "ReleaseVersion"}
"""What an update of a node group must not change together with anything else."""
REPLACING = {
    "AmiType",
    "CapacityType",
    "ClusterName",
    "DiskSize",
    "InstanceTypes",
    "NodeRole",
    "NodegroupName",
    "Subnets",
}
"""What CloudFormation creates another group for, and so may change with anything."""
BASE: dict[str, Any] = {
    "name": "gpu",
    "purpose": "training",
    "instance_types": ("p4d.24xlarge",),
    "ami_type": "AL2023_x86_64_NVIDIA",
    "max_per_zone": 2,
}
EDITS: dict[str, dict[str, Any]] = {
    "size of the disk": {"disk_gib": 300},
    "throughput of the disk": {"disk_throughput_mibps": 250},
    "maximum": {"max_per_zone": 3},
    "minimum": {"min_per_zone": 1},
    "purpose": {"purpose": "serving"},
    "capacity": {"capacity": "spot"},
    "instance type": {"instance_types": ("p4de.24xlarge",)},
    "image": {"ami_type": "BOTTLEROCKET_x86_64_NVIDIA"},
    "pods": {"max_pods": 50},
    "sharing": {"gpu_replicas": 2},
    "EFA": {"efa": True},
    "zones": {"availability_zones": ("eu-west-1b",)},
}


@cache
def groups(autoscaler: str, *edits: str) -> dict[str, dict[str, Any]]:
    """The node groups of a template by logical id, after some edits."""
    stack = cdk.Stack(cdk.App(), "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    zones = [f"eu-west-1{letter}" for letter in "abc"]
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=zones,
        private_subnet_ids=["subnet-a", "subnet-b", "subnet-c"],
    )
    changes: dict[str, Any] = {}
    for edit in edits:
        changes |= EDITS[edit]
    spec = replace(NodeGroupSpec(**BASE), **changes)
    if autoscaler == "karpenter":
        spec = replace(spec, purpose="system")
    control_plane = ControlPlane("Cluster", "name", "https://api", "authority", "172.20.0.0/16", "arn:role")
    managed = managed_node_groups(
        stack,
        [spec],
        autoscaler=autoscaler,
        zones=ClusterZones.of("Test", vpc, None),
        control_plane=control_plane,
        efa_security_groups=["sg-1"],
    )
    for group in managed:
        desired = cdk.Token.as_number({"Fn::GetAtt": ["Sizes", group.key]})
        create_node_group(cdk.Stack.of(stack), group, control_plane, desired)
    found = Template.from_stack(stack).find_resources("AWS::EKS::Nodegroup")
    return {id: resource["Properties"] for id, resource in found.items()}


def refused(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[set[str]]:
    """The updates that EKS refuses. Any other number of nodes may come with each, so it counts as changed."""
    found = []
    for id in old.keys() & new.keys():
        before, after = old[id], new[id]
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        changed.add("ScalingConfig")
        if not changed & REPLACING and changed & ALONE:
            found.append(changed)
    return found


@pytest.mark.parametrize("autoscaler", ["cluster_autoscaler", "karpenter"])
@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.data())
def test_any_two_settings_can_change_at_once(autoscaler: str, data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(["", *EDITS]))
    first, second = data.draw(st.sampled_from(list(combinations(EDITS, 2))))
    before = [start] if start else []
    try:
        old, new = groups(autoscaler, *before), groups(autoscaler, *before, first, second)
    except ConfigurationError:
        reject()  # settings that no group can have together, such as Bottlerocket and shared GPUs
    assert not refused(old, new)


def test_every_single_setting_can_change_while_the_autoscaler_moves_the_group() -> None:
    for edit in EDITS:
        assert not refused(groups("cluster_autoscaler"), groups("cluster_autoscaler", edit)), edit


def test_the_check_finds_what_eks_refuses() -> None:
    """It would be no proof if it passed everything."""
    group = {"LaunchTemplate": {"Version": "1"}, "Tags": {}}
    assert refused({"G": group}, {"G": {**group, "LaunchTemplate": {"Version": "2"}}})
    assert refused({"G": {**group, "Version": "1.35"}}, {"G": {**group, "Version": "1.36"}})
    assert not refused({"G": group}, {"G": {"LaunchTemplate": {"Version": "2"}, "Subnets": ["b"]}})


@pytest.mark.parametrize("edit", ["maximum", "minimum", "sharing", "purpose"])
def test_numbers_labels_and_taints_change_a_group_in_place(edit: str) -> None:
    assert groups("cluster_autoscaler").keys() == groups("cluster_autoscaler", edit).keys()


@pytest.mark.parametrize("edit", ["size of the disk", "throughput of the disk", "pods", "image"])
def test_what_a_launch_template_says_makes_another_group(edit: str) -> None:
    assert not groups("cluster_autoscaler").keys() & groups("cluster_autoscaler", edit).keys()


def test_another_minor_moves_the_control_plane_and_no_node_group() -> None:
    found = []
    for version in ("1.35", "1.36"):
        stack = cdk.Stack(cdk.App(context={"aws:cdk:disable-asset-staging": True}), "Test")
        cluster(stack, version=version)
        (control_plane,) = properties(stack, "AWS::EKS::Cluster")
        assert control_plane["Version"] == version
        found.append(Template.from_stack(stack).find_resources("AWS::EKS::Nodegroup"))
    assert found[0] == found[1]
