"""The ``[network]`` section: address space, zones, internet access, names."""

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.section import DnsName, Mistake, Section, key

_PRIVATE_RANGES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")


def _vpc_cidr(value: str) -> str:
    try:
        block = ipaddress.ip_network(value)
    except ValueError as error:
        raise Mistake(f"must be a network such as '10.20.0.0/16', got {value!r}: {error}") from None
    if not isinstance(block, ipaddress.IPv4Network) or not 16 <= block.prefixlen <= 21:
        raise Mistake(
            f"must be a private IPv4 network of /16 to /21, got {value!r}; AWS makes no larger VPC, and a smaller one "
            "has no room for load balancers"
        )
    if not any(block.subnet_of(ipaddress.IPv4Network(private)) for private in _PRIVATE_RANGES):
        raise Mistake(f"must be a private network, got {value!r}; use a part of {', '.join(_PRIVATE_RANGES)}")
    return value


class Network(Section):
    """The VPC of the account."""

    cidr: Annotated[str, AfterValidator(_vpc_cidr)] = key(
        "Address space of the VPC, /16 to /21. Each zone gets an eighth for nodes and pods: 8187 addresses of a /16. "
        "Use a different range for each account, because peered networks cannot overlap."
    )
    availability_zones: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$")], ...], Field(min_length=2, max_length=6)
    ] = key(
        "Names of the Availability Zones, two to six; staging and production use three. Add new zones at the end of "
        "the list, which preserves the subnets of the others."
    )
    nat: Literal["per_zone", "single", "none"] = key(
        "How private subnets reach the internet. 'per_zone' survives the loss of a zone; 'single' costs one gateway "
        "and loses all egress with its zone; 'none' has no internet access and needs interface_endpoints = true.",
        default="per_zone",
    )
    interface_endpoints: bool = key(
        "Private endpoints for the AWS services that clusters call, so that their traffic stays inside the VPC. "
        "AWS bills each by the hour and zone, used or not, and each GB: in three zones they cost more than the NAT "
        "gateways that they relieve, unless much data passes.",
        default=False,
    )
    flow_logs: Literal["rejected", "all", "none"] = key(
        "Connections that the VPC records: those that it refused, all, or none. CloudWatch bills each GB that it takes "
        "in, and 'all' records every connection between nodes, databases and AWS.",
        default="rejected",
    )
    domain: DnsName | None = key(
        "Name of the platform, such as 'ml.example.com'. Makes a public hosted zone of that name, and a private one "
        "for names of the VPC alone, 'internal.ml.example.com'. "
        "Default: no hosted zones; the platform uses the DNS names of AWS.",
        default=None,
    )
    root_zone_id: Annotated[str, Field(pattern=r"^Z[A-Z0-9]{4,31}$")] | None = key(
        "Hosted zone of the parent domain in this account; the delegation record is written there. "
        "Default: the name servers are a stack output, for the owner of the parent domain.",
        default=None,
    )

    @field_validator("availability_zones")
    @classmethod
    def _zones_differ(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(zones)) != len(zones):
            raise Mistake(f"names a zone twice: {', '.join(zones)}; name each zone once")
        return zones

    @field_validator("interface_endpoints")
    @classmethod
    def _closed_networks_have_endpoints(cls, endpoints: bool, info: ValidationInfo) -> bool:
        if info.data.get("nat") == "none" and not endpoints:
            raise Mistake("must be true when nat is 'none'; without either nothing reaches AWS")
        return endpoints

    @field_validator("root_zone_id")
    @classmethod
    def _delegation_has_a_domain(cls, zone_id: str | None, info: ValidationInfo) -> str | None:
        if zone_id and "domain" in info.data and info.data["domain"] is None:
            raise Mistake("needs network.domain; name the platform's domain or remove root_zone_id")
        return zone_id


class Bastion(Section):
    """Bastion hosts, which give access to the private cluster endpoints through Session Manager."""

    highly_available: bool = key(
        "Two hosts in two zones at least. false keeps one, which is replaced when it fails (business continuity, "
        "some minutes without access), not high availability.",
        default=True,
    )
    instance_type: Annotated[str, Field(pattern=r"^[a-z][-a-z0-9]*\.[a-z0-9]+$")] = key(
        "EC2 instance type of a host; its processor decides the image.", default="t4g.small"
    )
