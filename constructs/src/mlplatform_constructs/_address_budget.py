"""How many addresses a cluster may take from each subnet."""

import ipaddress
from collections.abc import Mapping, Sequence

from aws_cdk import Token

from ._node_group import NodeGroupSpec
from ._vpc_cni import VpcCni

_KEPT_BY_AWS = 5
_CONTROL_PLANE = 6  # what EKS wants free for its own interfaces
_OTHERS = 64  # interface endpoints, load balancers, file systems, databases


def addresses_by_zone(specs: Sequence[NodeGroupSpec], zones: Sequence[str], vpc_cni: VpcCni) -> dict[str, int]:
    """Addresses that the nodes and pods of ``specs`` take at most, with one node more a group while it is upgraded.

    In managed node groups, EKS itself sets the number of pods for its own images, over any other.

    https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html#max-pods-precedence
    """
    taken = dict.fromkeys(zones, _CONTROL_PLANE)
    for spec in specs:
        pods = (spec.max_pods if spec.image_id else None) or vpc_cni.most_pods(spec.instance)
        for zone in spec.availability_zones or zones:
            taken[zone] += (spec.max_per_zone + 1) * vpc_cni.most_addresses(spec.instance, pods)
    return taken


def check_address_budget(
    place: str, needed: Mapping[str, int], in_use: Mapping[str, int], blocks: Mapping[str, str]
) -> None:
    """Compare what may be needed with the subnet of each zone.

    :param blocks: zone to the subnet's CIDR; one that is not known at synthesis passes.
    :raises ValueError: for the first subnet that is too small.
    """
    for zone, block in blocks.items():
        if Token.is_unresolved(block):
            continue
        free = ipaddress.IPv4Network(block).num_addresses - _KEPT_BY_AWS - _OTHERS - in_use.get(zone, 0)
        if needed[zone] > free:
            raise ValueError(
                f"{place}: node groups may take {needed[zone]} addresses in {zone}, subnet {block} has {max(free, 0)} "
                "left for them; lower max_per_zone, or give the network a larger cidr"
            )
