"""What the services of a cluster take from the account: its network and its file systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_ec2 as ec2

from mlplatform_constructs import HostedZones, LustreFileSystem, SharedFileSystem


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The network of a cluster.

    :param subnet_tags: tags of the subnets in which Karpenter creates nodes.
    :param isolated: whether AWS services without an endpoint in the network are out of reach.
    :param hosted_zones: zones for records of Ingresses and Services. None: no records are written.
    :param reserved_names: names in those zones that only the platform's own stacks create.
    """

    vpc: ec2.IVpc
    subnet_tags: Mapping[str, str]
    isolated: bool
    hosted_zones: HostedZones | None
    reserved_names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The file systems that pods mount.

    :param workspaces: EFS file system for claims that several pods write.
    :param lustre: FSx for Lustre file system of training pods, if the account has one.
    :param lustre_gib: its size in GiB.
    :param lustre_zone: its Availability Zone.
    :param teams: namespaces of teams, which get a volume of the Lustre file system each.
    """

    workspaces: SharedFileSystem
    lustre: LustreFileSystem | None
    lustre_gib: int
    lustre_zone: str | None
    teams: Sequence[str]
