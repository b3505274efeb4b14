"""A cluster in a VPC of any origin: the CDK's own, imported, looked up, with chosen subnets, or without a region."""

import ipaddress
from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from mlplatform_constructs import ConfigurationError, KarpenterAccess, WorkloadIdentity
from mlplatform_constructs._clusters.cluster_checks import service_network
from mlplatform_constructs._clusters.cluster_zones import ClusterZones, known_blocks
from tests.clusters import GENERAL, SYSTEM, cluster, properties, the


@pytest.fixture
def app(app: cdk.App) -> cdk.App:
    """kubectl and the AWS CLI are 60 MB, which no test here needs a copy of."""
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return app


def subnet(stack: cdk.Stack, name: str, zone: str | None) -> ec2.ISubnet:
    return ec2.Subnet.from_subnet_attributes(stack, name, subnet_id=f"subnet-{name}", availability_zone=zone)


def imported(stack: cdk.Stack, *, private: Sequence[str] = (), isolated: Sequence[str] = ()) -> ec2.IVpc:
    """A VPC that names its subnets and nothing else."""
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=["eu-west-1a", "eu-west-1b"],
        private_subnet_ids=list(private) or None,
        isolated_subnet_ids=list(isolated) or None,
    )


def test_a_looked_up_vpc_passes_while_the_lookup_is_pending(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_lookup(stack, "Vpc", vpc_id="vpc-9")
    placed = cluster(stack, vpc=vpc, node_groups=(SYSTEM, GENERAL))
    assert properties(stack, "AWS::EKS::Nodegroup")
    assert placed.service_cidr == "172.20.0.0/16"


def test_a_vpc_without_a_region_has_groups_by_number() -> None:
    stack = cdk.Stack(cdk.App(context={"aws:cdk:disable-asset-staging": True}), "Anywhere")
    cluster(stack, vpc=ec2.Vpc(stack, "Vpc", max_azs=2), node_groups=(SYSTEM,))
    groups = Template.from_stack(stack).find_resources("AWS::EKS::Nodegroup")
    assert len(groups) == 2
    assert all("Zone1" in id or "Zone2" in id for id in groups)


LOOKUP = "vpc-provider:account=111111111111:filter.vpc-id=vpc-9:region=eu-west-1:returnAsymmetricSubnets=true"


def test_a_vpc_that_was_looked_up_is_used_with_its_real_zones(app: cdk.App) -> None:
    """The second pass, whose answers the CLI has written to cdk.context.json."""

    def group(kind: str, first: int) -> dict[str, Any]:
        subnets = [
            {
                "subnetId": f"subnet-{kind.lower()}{zone}",
                "availabilityZone": f"eu-west-1{zone}",
                "cidr": f"10.0.{first + position}.0/24",
                "routeTableId": f"rtb-{zone}",
            }
            for position, zone in enumerate("bc")
        ]
        return {"name": kind, "type": kind, "subnets": subnets}

    found = {
        "vpcId": "vpc-9",
        "vpcCidrBlock": "10.0.0.0/16",
        "availabilityZones": [],
        "subnetGroups": [group("Public", 0), group("Private", 10)],
    }
    app.node.set_context(LOOKUP, found)
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    cluster(stack, vpc=ec2.Vpc.from_lookup(stack, "Vpc", vpc_id="vpc-9"), node_groups=(SYSTEM,))
    groups = sorted(each["Subnets"] for each in properties(stack, "AWS::EKS::Nodegroup"))
    assert groups == [["subnet-privateb"], ["subnet-privatec"]]


SHAPES: dict[str, list[ec2.SubnetType]] = {
    "public and private": [ec2.SubnetType.PUBLIC, ec2.SubnetType.PRIVATE_WITH_EGRESS],
    "isolated": [ec2.SubnetType.PRIVATE_ISOLATED],
    "private and isolated": [
        ec2.SubnetType.PUBLIC,
        ec2.SubnetType.PRIVATE_WITH_EGRESS,
        ec2.SubnetType.PRIVATE_ISOLATED,
    ],
    "two private groups": [
        ec2.SubnetType.PUBLIC,
        ec2.SubnetType.PRIVATE_WITH_EGRESS,
        ec2.SubnetType.PRIVATE_WITH_EGRESS,
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_vpc_of_each_common_shape_is_used(stack: cdk.Stack, shape: str) -> None:
    configuration = [
        ec2.SubnetConfiguration(name=f"Group{position}", subnet_type=kind, cidr_mask=20)
        for position, kind in enumerate(SHAPES[shape])
    ]
    vpc = ec2.Vpc(stack, "Vpc", availability_zones=["eu-west-1a", "eu-west-1b"], subnet_configuration=configuration)
    zones = ClusterZones.of("Here", vpc, None)
    assert [each.name for each in zones.zones] == ["eu-west-1a", "eu-west-1b"]
    assert len(zones.of_control_plane) == 2
    assert not {each.node.path for each in vpc.public_subnets} & {each.node.path for each in zones.of_control_plane}


def _without_flags() -> cdk.Stack:
    app = cdk.App(context={"aws:cdk:disable-asset-staging": True})
    return cdk.Stack(app, "Place", env=cdk.Environment(account="111111111111", region="eu-west-1"))


def _nested(app: cdk.App) -> cdk.Stack:
    parent = cdk.Stack(app, "Parent", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    return cdk.NestedStack(parent, "Nested")


@pytest.mark.parametrize("place", ["without flags", "nested"])
def test_a_cluster_with_its_controllers_fits_into_any_app(app: cdk.App, place: str) -> None:
    stack = _nested(app) if place == "nested" else _without_flags()
    own = cluster(stack, vpc=imported(stack, private=["subnet-1", "subnet-2"]), node_groups=(SYSTEM,))
    role = WorkloadIdentity.pod_identity(own).role_for(stack, "Role", namespace="a", service_account="b")
    own.grant_scale_node_groups(role)
    KarpenterAccess(stack, "Karpenter", cluster=own, role=role)
    assert properties(stack, "AWS::EKS::Cluster")


@pytest.mark.parametrize("kind", ["private", "isolated"])
def test_an_imported_vpc_without_address_blocks_is_used(stack: cdk.Stack, kind: str) -> None:
    vpc = imported(stack, **{kind: ["subnet-1", "subnet-2"]})
    zones = ClusterZones.of("Here", vpc, None)
    assert [(zone.name, zone.subnet_ids) for zone in zones.zones] == [
        ("eu-west-1a", ("subnet-1",)),
        ("eu-west-1b", ("subnet-2",)),
    ]
    assert known_blocks(vpc, zones) == []


def test_several_subnets_of_a_zone_are_one_zone(stack: cdk.Stack) -> None:
    subnets = [subnet(stack, name, f"eu-west-1{name[0]}") for name in ("a1", "b1", "a2", "c1")]
    vpc = imported(stack, private=["subnet-x", "subnet-y"])
    cluster(stack, vpc=vpc, subnets=subnets, node_groups=(SYSTEM,))
    groups = sorted(
        (group["Subnets"], group["ScalingConfig"]["MinSize"]) for group in properties(stack, "AWS::EKS::Nodegroup")
    )
    assert groups == [(["subnet-a1", "subnet-a2"], 1), (["subnet-b1"], 1), (["subnet-c1"], 1)]
    assert the(stack, "AWS::EKS::Cluster")["ResourcesVpcConfig"]["SubnetIds"] == ["subnet-a1", "subnet-b1"]


def test_another_zone_changes_nodes_and_not_the_control_plane() -> None:
    """EKS refuses subnets in a zone that the cluster was not created with."""
    names = "abcd"
    found = []
    for count in (2, 3, 4):
        stack = cdk.Stack(cdk.App(), "Test")
        subnets = [subnet(stack, f"{name}1", f"eu-west-1{name}") for name in names[:count]]
        zones = ClusterZones.of("Here", imported(stack), subnets)
        assert len(zones.zones) == count
        found.append([one.subnet_id for one in zones.of_control_plane])
    assert found == [["subnet-a1", "subnet-b1"]] * 3


def test_fails_without_private_subnets(stack: cdk.Stack) -> None:
    with pytest.raises(ConfigurationError, match="Here: vpc has no private subnets, and subnets names none"):
        ClusterZones.of("Here", imported(stack), None)


def test_fails_on_subnets_of_one_zone(stack: cdk.Stack) -> None:
    subnets = [subnet(stack, name, "eu-west-1a") for name in ("a1", "a2")]
    with pytest.raises(
        ConfigurationError, match="Here: all subnets are in eu-west-1a; EKS needs subnets in at least two"
    ):
        ClusterZones.of("Here", imported(stack), subnets)


def test_fails_on_a_subnet_of_unknown_zone(stack: cdk.Stack) -> None:
    subnets = [subnet(stack, "a1", "eu-west-1a"), ec2.Subnet.from_subnet_id(stack, "Other", "subnet-1")]
    with pytest.raises(ConfigurationError, match="Here: the zone of subnet Test/Other is not known; import it by"):
        ClusterZones.of("Here", imported(stack), subnets)


@pytest.mark.parametrize(
    ("block", "services"),
    [
        ("10.0.0.0/16", "172.20.0.0/16"),
        ("172.20.0.0/16", "10.100.0.0/16"),
        ("172.16.0.0/12", "10.100.0.0/16"),
    ],
)
def test_services_get_addresses_that_the_vpc_has_not(block: str, services: str) -> None:
    assert service_network("Here", None, [ipaddress.IPv4Network(block)]) == services


def test_fails_where_the_vpc_has_both_ranges_of_services() -> None:
    blocks = [ipaddress.IPv4Network("172.20.0.0/16"), ipaddress.IPv4Network("10.0.0.0/8")]
    with pytest.raises(ConfigurationError, match="service_cidr: the VPC overlaps 172.20.0.0/16 and 10.100.0.0/16"):
        service_network("Here", None, blocks)
