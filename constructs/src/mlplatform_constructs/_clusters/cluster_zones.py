"""The zones and subnets of a cluster, from a new, imported or looked-up VPC."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from aws_cdk import aws_ec2 as ec2

from .._arguments import ConfigurationError, is_token

CONTROL_PLANE_ZONES = 2
"""EKS needs two, and never lets a cluster leave the zones of its birth. A VPC has two zones from its first day."""
_DUMMY_ZONE = "dummy"
"""What zones are called while ``Vpc.from_lookup`` has not looked yet; the CDK synthesizes again afterwards."""


@dataclass(frozen=True)
class ClusterZone:
    """One Availability Zone with the cluster's subnets in it.

    :param name: the zone, or a token where the VPC is not tied to a region.
    :param place: the zone as part of construct ids; ``Zone1`` if the name is a token.
    :param blocks: IPv4 CIDR blocks of the subnets, as far as they are known at synthesis.
    """

    name: str
    place: str
    subnets: tuple[ec2.ISubnet, ...]
    blocks: tuple[ipaddress.IPv4Network, ...]

    @cached_property
    def subnet_ids(self) -> tuple[str, ...]:
        return tuple(subnet.subnet_id for subnet in self.subnets)


@dataclass(frozen=True)
class ClusterZones:
    """The zones of a cluster in the VPC's order.

    :param is_lookup_pending: whether these are the placeholders of a first synthesis, which is thrown away.
    """

    zones: tuple[ClusterZone, ...]
    is_lookup_pending: bool

    @classmethod
    def of(cls, path: str, vpc: ec2.IVpc, subnets: Sequence[ec2.ISubnet] | None) -> "ClusterZones":
        """Sort subnets by zone.

        :param subnets: those to use. Default: all private subnets, or isolated ones where no subnet has a route out.
        :raises ConfigurationError: if there are none, their zone is unknown, or all are in one zone.
        """
        chosen = list(subnets if subnets is not None else vpc.private_subnets or vpc.isolated_subnets)
        if not chosen:
            raise ConfigurationError(
                f"{path}: vpc has no private subnets, and subnets names none; nodes do not run in public ones. "
                "Add private subnets to the VPC, or pass them as subnets"
            )
        by_zone: dict[str, list[ec2.ISubnet]] = {}
        for subnet in chosen:
            zone = _zone_of(subnet)
            if zone is None:
                raise ConfigurationError(
                    f"{path}: the zone of subnet {subnet.node.path} is not known; import it by "
                    "Subnet.from_subnet_attributes with its availability_zone"
                )
            by_zone.setdefault(zone, []).append(subnet)
        if len(by_zone) < CONTROL_PLANE_ZONES:
            raise ConfigurationError(
                f"{path}: all subnets are in {', '.join(by_zone)}; EKS needs subnets in at least two zones"
            )
        zones = tuple(
            ClusterZone(
                name=zone,
                place=f"Zone{number}" if is_token(zone) else zone,
                subnets=tuple(inside),
                blocks=tuple(block for subnet in inside if (block := _block(subnet))),
            )
            for number, (zone, inside) in enumerate(by_zone.items(), start=1)
        )
        return cls(zones, any(zone.startswith(_DUMMY_ZONE) for zone in by_zone))

    @property
    def subnets(self) -> list[ec2.ISubnet]:
        """All subnets, zone by zone."""
        return [subnet for zone in self.zones for subnet in zone.subnets]

    @property
    def of_control_plane(self) -> list[ec2.ISubnet]:
        """One subnet in each of the first zones. A zone that is added later changes none of them."""
        return [zone.subnets[0] for zone in self.zones[:CONTROL_PLANE_ZONES]]

    def named(self, names: Sequence[str]) -> list[ClusterZone]:
        """The zones of these names; all where none is named, or while the lookup is pending.

        :raises ConfigurationError: for a zone without a subnet.
        """
        if not names or self.is_lookup_pending:
            return list(self.zones)
        known = {zone.name: zone for zone in self.zones}
        if unknown := [name for name in names if name not in known]:
            readable = [name for name in known if not is_token(name)]
            choice = f"choose from {', '.join(readable)}" if readable else "the VPC's zones are not known at synthesis"
            raise ConfigurationError(f"no private subnet in {', '.join(unknown)}; {choice}")
        return [known[name] for name in names]


def known_blocks(vpc: ec2.IVpc, zones: ClusterZones) -> list[ipaddress.IPv4Network]:
    """The address blocks of a VPC and of the cluster's subnets in it, as far as they are known at synthesis."""
    if zones.is_lookup_pending:
        return []
    whole = _network(_read(lambda: str(vpc.vpc_cidr_block)))
    return [*([whole] if whole else []), *(block for zone in zones.zones for block in zone.blocks)]


def _zone_of(subnet: ec2.ISubnet) -> str | None:
    return _read(lambda: str(subnet.availability_zone))


def _block(subnet: ec2.ISubnet) -> ipaddress.IPv4Network | None:
    return _network(_read(lambda: str(subnet.ipv4_cidr_block)))


def _network(block: str | None) -> ipaddress.IPv4Network | None:
    if block is None or is_token(block):
        return None
    try:
        return ipaddress.IPv4Network(block)
    except ValueError:
        return None  # of the placeholder of a pending lookup


def _read(attribute: Callable[[], str]) -> str | None:
    """An attribute, or None if an imported VPC or subnet was not given it: the CDK raises then."""
    try:
        return attribute()
    except RuntimeError:
        return None
