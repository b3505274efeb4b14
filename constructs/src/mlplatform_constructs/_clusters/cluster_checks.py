"""Checks of a cluster's arguments, before a resource is created."""

import ipaddress
from collections.abc import Sequence

from .._arguments import ConfigurationError
from .cluster_zones import ClusterZones
from .node_group import NodeGroupSpec

_PRIVATE_RANGES = tuple(
    map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"))
)
_SERVICE_NETWORKS = ("172.20.0.0/16", "10.100.0.0/16")


def check_node_groups(path: str, specs: Sequence[NodeGroupSpec], zones: ClusterZones, autoscaler: str) -> None:
    """Unique names, zones that exist, and nodes for the platform's own pods."""
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{path}: node_groups has {', '.join(twice)} twice; name each group once")
    for spec in specs:
        try:
            zones.named(spec.availability_zones)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: node group {spec.name!r}: {error}") from None
    if autoscaler == "karpenter" and (efa := [spec.name for spec in specs if spec.efa]):
        raise ConfigurationError(
            f"{path}: node_groups has efa in {', '.join(efa)}; leave it out, or use the Cluster Autoscaler: Karpenter "
            "creates no placement groups"
        )
    if not any(spec.purpose == NodeGroupSpec.SYSTEM and spec.min_per_zone for spec in specs):
        raise ConfigurationError(
            f"{path}: node_groups needs one with purpose 'system' and min_per_zone of 1 or more; "
            "the platform's own pods run there"
        )


def check_public_access(path: str, cidrs: Sequence[str]) -> None:
    """Public networks only, and not half of the internet."""
    for cidr in cidrs:
        place = f"{path}: public_access_cidrs"
        try:
            block = ipaddress.IPv4Network(cidr)
        except ValueError as error:
            raise ConfigurationError(
                f"{place}: must be networks such as 203.0.113.0/24, got {cidr!r}: {error}"
            ) from None
        if block.prefixlen < 8:
            raise ConfigurationError(f"{place}: {cidr} is open to the world; name the networks of your offices")
        if any(block.overlaps(private) for private in _PRIVATE_RANGES):
            raise ConfigurationError(f"{place}: {cidr} is private, and EKS refuses it; name public networks only")


def service_network(path: str, cidr: str | None, blocks: Sequence[ipaddress.IPv4Network]) -> str:
    """The addresses of Kubernetes services: the given range, or the first of EKS's two default ranges that is free.

    :param blocks: the known address blocks of the VPC.
    """
    if cidr is None:
        for network in _SERVICE_NETWORKS:
            if not any(block.overlaps(ipaddress.IPv4Network(network)) for block in blocks):
                return network
        raise ConfigurationError(
            f"{path}: service_cidr: the VPC overlaps {' and '.join(_SERVICE_NETWORKS)}; name a private network of /12 "
            "to /24 that it does not"
        )
    place = f"{path}: service_cidr"
    try:
        services = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise ConfigurationError(f"{place} must be a network such as 172.20.0.0/16, got {cidr!r}: {error}") from None
    if not services.is_private or not 12 <= services.prefixlen <= 24:
        raise ConfigurationError(f"{place} must be a private network of /12 to /24, got {cidr}; EKS accepts no other")
    for block in blocks:
        if services.overlaps(block):
            raise ConfigurationError(f"{place} {cidr} overlaps subnet {block}; choose another")
    return cidr
