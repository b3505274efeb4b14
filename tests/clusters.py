"""Small clusters for tests, in an existing network."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template

from mlplatform_constructs import KubernetesCluster, NodeGroupSpec

ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
SYSTEM = NodeGroupSpec(name="system", purpose="system", instance_types=("m7i.large",), min_per_zone=1, max_per_zone=2)
GENERAL = NodeGroupSpec(name="cpu", purpose="general", instance_types=("m7i.2xlarge",), max_per_zone=4)
TRAINING = NodeGroupSpec(
    name="training-gpu",
    purpose="training",
    instance_types=("p4d.24xlarge",),
    ami_type="AL2023_x86_64_NVIDIA",
    availability_zones=("eu-west-1c",),
    max_per_zone=2,
    max_pods=30,
)
SPARK = NodeGroupSpec(
    name="spark", purpose="spark", capacity="spot", instance_types=("r6i.2xlarge", "r5.2xlarge"), max_per_zone=4
)
GROUPS = (SYSTEM, GENERAL, TRAINING, SPARK)


def network(
    stack: Stack, *, cidr: str = "10.0.0.0/16", zones: Sequence[str] = ZONES, subnet_ids: Sequence[str] = ()
) -> ec2.IVpc:
    """A VPC with a private subnet of an eighth of ``cidr`` in each zone."""
    blocks = [str(block) for block in ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=3)][: len(zones)]
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=list(zones),
        private_subnet_ids=list(subnet_ids) or [f"subnet-{zone[-1]}" for zone in zones],
        private_subnet_route_table_ids=[f"rtb-{zone[-1]}" for zone in zones],
        private_subnet_ipv4_cidr_blocks=blocks,
    )


def cluster(stack: Stack, id: str = "Cluster", *, vpc: ec2.IVpc | None = None, **more: Any) -> KubernetesCluster:
    """A cluster with a system group and the given arguments."""
    key = more.pop("secrets_encryption_key", None) or kms.Key(stack, f"{id}Secrets", enable_key_rotation=True)
    more.setdefault("node_groups", GROUPS)
    return KubernetesCluster(stack, id, vpc=vpc or network(stack), secrets_encryption_key=key, **more)


def properties(stack: Stack, kind: str) -> list[dict[str, Any]]:
    """The properties of all resources of a type."""
    return [found["Properties"] for found in Template.from_stack(stack).find_resources(kind).values()]


def the(stack: Stack, kind: str) -> dict[str, Any]:
    """The properties of the only resource of a type."""
    (one,) = properties(stack, kind)
    return one
