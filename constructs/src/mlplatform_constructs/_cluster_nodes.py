"""The nodes of a cluster: their role, their groups, and the add-ons that make them ready."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from constructs import Construct

from ._kubernetes_release import KubernetesRelease
from ._managed_node_groups import create_node_groups
from ._node_group import NodeGroupSpec
from ._vpc_cni import VpcCni

_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")


class ClusterNodes(Construct):
    """Add-ons first, then nodes, then what needs nodes to run on.

    Nodes get what joining the cluster and pulling images takes, and nothing else: the VPC CNI has a role of its own.

    :param vpc_cni_role: the CNI's role, already tied to its service account.
    :param subnets: zone to the private subnet's id.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: eks.Cluster,
        release: KubernetesRelease,
        node_groups: Sequence[NodeGroupSpec],
        autoscaler: Literal["cluster_autoscaler", "karpenter"],
        subnets: Mapping[str, str],
        vpc_cni: VpcCni,
        vpc_cni_role: iam.Role,
        service_cidr: str,
    ) -> None:
        super().__init__(scope, id)
        self._cluster = cluster
        self._release = release
        self._service_cidr = service_cidr
        self.role = self._role()

        network = self._add_on("vpc-cni", {"enableNetworkPolicy": "true", "env": vpc_cni.environment})
        network.node.add_dependency(vpc_cni_role)
        before = [network, self._add_on("kube-proxy"), self._add_on("eks-pod-identity-agent")]
        dns = self._add_on("coredns", placement(node_groups, NodeGroupSpec.SYSTEM))
        for spec in node_groups:
            system = spec.purpose == NodeGroupSpec.SYSTEM
            if autoscaler == "karpenter" and not system:
                continue
            zones = {zone: subnets[zone] for zone in spec.availability_zones or subnets}
            for group in self._groups(spec, zones, one_per_zone=autoscaler == "cluster_autoscaler"):
                for add_on in before:
                    group.add_resource_dependency(add_on)
                if system:
                    dns.add_resource_dependency(group)

    def _groups(self, spec: NodeGroupSpec, zones: Mapping[str, str], *, one_per_zone: bool) -> list[eks.CfnNodegroup]:
        return create_node_groups(
            Construct(self, spec.name),
            spec,
            cluster=self._cluster,
            minor=self._release.minor,
            service_cidr=self._service_cidr,
            node_role=self.role,
            subnets={zone: [subnet] for zone, subnet in zones.items()}
            if one_per_zone
            else {"AllZones": list(zones.values())},
        )

    def _add_on(self, name: str, configuration: Mapping[str, Any] | None = None) -> eks.CfnAddon:
        return eks.CfnAddon(
            self,
            name,
            cluster_name=self._cluster.cluster_name,
            addon_name=name,
            addon_version=self._release.addons[name],
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
        for name in _NODE_POLICIES:
            Validations.of(role).acknowledge(
                Acknowledgment(
                    id=f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]",
                    reason="AWS keeps what its node agents need up to date there; pods cannot reach the role",
                )
            )
        return role


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
