"""The nodes of a cluster: their role, their groups, and the add-ons that make them ready."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from ._kubernetes_release import KubernetesRelease
from ._managed_node_groups import Control, create_node_groups
from ._node_group import NodeGroupSpec
from ._node_group_sizes import NodeGroupSizes, PlacedGroup
from ._vpc_cni import VpcCni

_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")


class ClusterNodes(Construct):
    """Add-ons first, then nodes, then what needs nodes to run on.

    Nodes get what joining the cluster and pulling images takes, and nothing else: the VPC CNI has a role of its own.

    :param name: of the cluster, known at synthesis.
    :param vpc_cni_role: the CNI's role, already tied to its service account.
    :param subnets: zone to the private subnet's id.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: eks.Cluster,
        name: str,
        release: KubernetesRelease,
        node_groups: Sequence[NodeGroupSpec],
        autoscaler: Literal["cluster_autoscaler", "karpenter"],
        subnets: Mapping[str, str],
        vpc_cni: VpcCni,
        vpc_cni_role: iam.Role,
        service_cidr: str,
        log_encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id)
        self.role = self._role()
        control = Control(
            cluster=cluster,
            path=scope.node.path,
            cluster_name=cluster.cluster_name,
            node_role_arn=self.role.role_arn,
            minor=release.minor,
            service_cidr=service_cidr,
        )
        groups = Construct(self, "Groups")
        system, others = Construct(groups, "system"), Construct(groups, "others")
        templates = Construct(self, "LaunchTemplates")
        placed = _placed(node_groups, autoscaler, subnets)
        sizes = NodeGroupSizes(
            self,
            "Sizes",
            cluster_name=control.cluster_name,
            name=name,
            groups=[group for of_spec in placed.values() for group in of_spec],
            log_encryption_key=log_encryption_key,
        )
        for spec, of_spec in placed.items():
            place = system if spec.purpose == NodeGroupSpec.SYSTEM else others
            create_node_groups(
                Construct(place, spec.name), templates, spec, control=control, groups=of_spec, sizes=sizes
            )

        network = self._add_on("vpc-cni", control, release, {"enableNetworkPolicy": "true", "env": vpc_cni.environment})
        network.node.add_dependency(vpc_cni_role)
        agents = [self._add_on(name, control, release) for name in ("kube-proxy", "eks-pod-identity-agent")]
        groups.node.add_dependency(network, *agents)
        dns = self._add_on("coredns", control, release, placement(node_groups, NodeGroupSpec.SYSTEM))
        dns.node.add_dependency(system)

    def _add_on(
        self, name: str, control: Control, release: KubernetesRelease, configuration: Mapping[str, Any] | None = None
    ) -> eks.CfnAddon:
        return eks.CfnAddon(
            self,
            name,
            cluster_name=control.cluster_name,
            addon_name=name,
            addon_version=release.addons[name],
            configuration_values=json.dumps(configuration, sort_keys=True) if configuration else None,
            resolve_conflicts="OVERWRITE",
        )

    def _role(self) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            description="Nodes: join the cluster, pull images",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in _NODE_POLICIES],
        )
        Validations.of(role).acknowledge(
            *(
                Acknowledgment(
                    id=f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]",
                    reason="AWS keeps what its node agents need up to date there; pods cannot reach the role",
                )
                for name in _NODE_POLICIES
            )
        )
        return role


def _placed(
    node_groups: Sequence[NodeGroupSpec], autoscaler: str, subnets: Mapping[str, str]
) -> dict[NodeGroupSpec, list[PlacedGroup]]:
    """The groups to make: one in each zone under the Cluster Autoscaler, and under Karpenter one of the system's."""
    placed: dict[NodeGroupSpec, list[PlacedGroup]] = {}
    for spec in node_groups:
        zones = spec.availability_zones or tuple(subnets)
        if autoscaler == "cluster_autoscaler":
            placed[spec] = [PlacedGroup(spec, zone, (subnets[zone],)) for zone in zones]
        elif spec.purpose == NodeGroupSpec.SYSTEM:
            placed[spec] = [PlacedGroup(spec, "AllZones", tuple(subnets[zone] for zone in zones))]
    return placed


def placement(node_groups: Sequence[NodeGroupSpec], purpose: str) -> dict[str, Any]:
    """What a pod must say in order to run on the nodes for ``purpose``, and nowhere else.

    :raises ValueError: when no group has that purpose.
    """
    fitting = [spec for spec in node_groups if spec.purpose == purpose]
    if not fitting:
        purposes = ", ".join(sorted({spec.purpose for spec in node_groups}))
        raise ValueError(f"no node group has purpose {purpose!r}; there are: {purposes}")
    tolerations: list[dict[str, str]] = []
    for spec in fitting:
        tolerations += [toleration for toleration in spec.tolerations if toleration not in tolerations]
    return {"nodeSelector": {NodeGroupSpec.PURPOSE_LABEL: purpose}, "tolerations": tolerations}
