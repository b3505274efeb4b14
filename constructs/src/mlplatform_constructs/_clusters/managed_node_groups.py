"""Managed node groups of EKS, of which no update ever changes more than numbers, labels, taints and tags.

EKS refuses an update of a node group that changes its launch template, Kubernetes version or image release together
with anything else, and cannot roll such an update back to an earlier version. Therefore no template carries one:

- Whatever is in a launch template, or makes CloudFormation replace a group, is part of the logical ids of both. A
  change creates a new group, and deletes the old one when the whole deployment has succeeded.
- Kubernetes version and image release are in no template. A new group starts with those of its control plane, and
  ``NodeGroupUpdates`` moves the others after it.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-eks-nodegroup.html
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from constructs import Construct

from .cluster_zones import ClusterZone, ClusterZones
from .launch_template import ControlPlane, launch_template_data
from .node_group import NodeGroupSpec

REVISION_TAG = "mlplatform/revision"
_ALL_ZONES = "AllZones"


@dataclass(frozen=True, kw_only=True)
class ManagedNodeGroup:
    """A node group in CloudFormation: for one zone of a spec, or for all of them.

    :param place: the zone as part of construct ids, or a common part for all zones.
    :param revision: hash of everything whose change creates a new group.
    """

    spec: NodeGroupSpec
    place: str
    zones: tuple[ClusterZone, ...]
    launch_template: ec2.CfnLaunchTemplate
    revision: str

    @property
    def key(self) -> str:
        """Unique in the cluster, of letters and digits: ``SystemUsEast1a``."""
        return "".join(word.capitalize() for word in re.split(r"\W+", f"{self.spec.name}-{self.place}"))

    @property
    def subnet_ids(self) -> list[str]:
        return [id for zone in self.zones for id in zone.subnet_ids]

    @property
    def minimum(self) -> int:
        """Nodes in all its zones at least."""
        return self.spec.min_per_zone * len(self.zones)

    @property
    def maximum(self) -> int:
        """Nodes in all its zones at most."""
        return self.spec.max_per_zone * len(self.zones)


def managed_node_groups(
    scope: Construct,
    specs: Sequence[NodeGroupSpec],
    *,
    autoscaler: str,
    zones: ClusterZones,
    control_plane: ControlPlane,
    efa_security_groups: Sequence[str],
) -> list[ManagedNodeGroup]:
    """The groups of all specs with their launch templates, which are created in ``scope``.

    One group in each zone under the Cluster Autoscaler, and under Karpenter one for each spec of the system.
    """
    groups: list[ManagedNodeGroup] = []
    places: dict[str, tuple[ClusterZone, ...]]
    for spec in specs:
        inside = zones.named(spec.availability_zones)
        if autoscaler == "cluster_autoscaler":
            places = {zone.place: (zone,) for zone in inside}
        elif spec.purpose == NodeGroupSpec.SYSTEM:
            places = {_ALL_ZONES: tuple(inside)}
        else:
            continue
        groups += _groups(scope, spec, places, control_plane, efa_security_groups)
    return groups


def _groups(
    scope: Construct,
    spec: NodeGroupSpec,
    places: Mapping[str, tuple[ClusterZone, ...]],
    control_plane: ControlPlane,
    efa_security_groups: Sequence[str],
) -> list[ManagedNodeGroup]:
    """Groups share a launch template, unless EFA requires a placement group, which is in one zone."""
    if not spec.efa:
        template = _launch_template(scope, spec.name, spec, control_plane)
        return [_group(spec, place, zones, template) for place, zones in places.items()]
    groups = []
    for place, zones in places.items():
        id = f"{spec.name}-{place}"
        near = ec2.CfnPlacementGroup(scope, f"{id}-placement", strategy="cluster").ref if len(zones) == 1 else None
        template = _launch_template(scope, id, spec, control_plane, efa_security_groups, near)
        groups.append(_group(spec, place, zones, template))
    return groups


def _launch_template(
    scope: Construct,
    id: str,
    spec: NodeGroupSpec,
    control_plane: ControlPlane,
    security_groups: Sequence[str] = (),
    placement_group: str | None = None,
) -> ec2.CfnLaunchTemplate:
    """Its first version is its only one: other contents make another launch template."""
    data = launch_template_data(spec, control_plane, security_groups=security_groups, placement_group=placement_group)
    return ec2.CfnLaunchTemplate(scope, f"{id}-{_hash(Stack.of(scope).resolve(data))}", launch_template_data=data)


def _group(
    spec: NodeGroupSpec, place: str, zones: tuple[ClusterZone, ...], template: ec2.CfnLaunchTemplate
) -> ManagedNodeGroup:
    replacing = [template.node.id, spec.image, spec.capacity, spec.instance_types]
    return ManagedNodeGroup(spec=spec, place=place, zones=zones, launch_template=template, revision=_hash(replacing))


def _hash(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def create_node_group(
    scope: Construct, group: ManagedNodeGroup, control_plane: ControlPlane, desired_size: int | float
) -> eks.CfnNodegroup:
    """The resource.

    :param desired_size: number of nodes to start with; after that the autoscaler decides.
    """
    spec = group.spec
    return eks.CfnNodegroup(
        scope,
        f"{group.place}-{group.revision}",
        cluster_name=control_plane.cluster_name,
        node_role=control_plane.node_role_arn,
        subnets=group.subnet_ids,
        ami_type=spec.image,
        capacity_type=spec.capacity.upper(),
        instance_types=list(spec.instance_types),
        scaling_config=eks.CfnNodegroup.ScalingConfigProperty(
            min_size=group.minimum, desired_size=desired_size, max_size=group.maximum
        ),
        labels=spec.labels,
        taints=[
            eks.CfnNodegroup.TaintProperty(key=t["key"], value=t["value"], effect="NO_SCHEDULE") for t in spec.taints
        ],
        tags={**spec.node_template_tags, REVISION_TAG: group.revision},
        launch_template=eks.CfnNodegroup.LaunchTemplateSpecificationProperty(
            id=group.launch_template.ref, version=group.launch_template.attr_latest_version_number
        ),
        update_config=eks.CfnNodegroup.UpdateConfigProperty(max_unavailable=1, update_strategy=spec.update_strategy),
        node_repair_config=eks.CfnNodegroup.NodeRepairConfigProperty(enabled=True),
        # A disruption budget that cannot be kept stops an update instead of being ignored.
        force_update_enabled=False,
    )
