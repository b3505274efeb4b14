"""The maximum of addresses that a cluster can use in each subnet."""

from collections.abc import Mapping, Sequence

from .._arguments import ConfigurationError
from .cluster_zones import ClusterZone, ClusterZones
from .node_group import NodeGroupSpec
from .vpc_cni import VpcCni

_KEPT_BY_AWS = 5
_CONTROL_PLANE = 6  # what EKS wants free for its own interfaces
_OTHERS = 64  # interface endpoints, load balancers, file systems, databases
_SURGE = 2  # nodes that an update adds in a zone, to one group at a time, unless it terminates old ones first


def addresses_by_zone(specs: Sequence[NodeGroupSpec], zones: ClusterZones, vpc_cni: VpcCni) -> dict[str, int]:
    """Addresses that the nodes and pods of ``specs`` take at most, with the nodes that an update adds for a while.

    In managed node groups, EKS itself sets the number of pods for its own images, over any other.

    https://docs.aws.amazon.com/eks/latest/userguide/choosing-instance-type.html#max-pods-precedence
    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
    """
    taken = {zone.name: _CONTROL_PLANE for zone in zones.zones}
    surge = dict.fromkeys(taken, 0)
    for spec in specs:
        pods = (spec.max_pods if spec.image_id else None) or vpc_cni.most_pods(spec.instance)
        each = vpc_cni.most_addresses(spec.instance, pods)
        for zone in zones.named(spec.availability_zones):
            taken[zone.name] += spec.max_per_zone * each
            if spec.update_strategy != "MINIMAL":
                surge[zone.name] = max(surge[zone.name], _SURGE * each)
    return {zone: taken[zone] + surge[zone] for zone in taken}


def check_address_budget(
    path: str, needed: Mapping[str, int], in_use: Mapping[str, int], zones: Sequence[ClusterZone]
) -> None:
    """Compare what may be needed with the subnets of each zone.

    :raises ConfigurationError: for the first zone whose subnets are too small. One of unknown size passes.
    """
    for zone in zones:
        if len(zone.blocks) < len(zone.subnets):
            continue
        free = sum(block.num_addresses - _KEPT_BY_AWS for block in zone.blocks) - _OTHERS - in_use.get(zone.name, 0)
        if needed[zone.name] > free:
            blocks = ", ".join(map(str, zone.blocks))
            raise ConfigurationError(
                f"{path}: node groups may take {needed[zone.name]} addresses in {zone.name}, subnet {blocks} has "
                f"{max(free, 0)} left for them; lower max_per_zone, or give the network a larger cidr"
            )
