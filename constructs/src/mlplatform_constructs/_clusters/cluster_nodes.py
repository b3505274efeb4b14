"""The nodes of a cluster: their role, their groups, and the add-ons that make them ready."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._arguments import ConfigurationError
from .cluster_zones import ClusterZones
from .kubernetes_release import KubernetesRelease
from .launch_template import ControlPlane
from .managed_node_groups import create_node_group, managed_node_groups
from .node_group import NodeGroupSpec
from .node_group_sizes import NodeGroupSizes
from .node_group_updates import NodeGroupUpdates
from .vpc_cni import VpcCni

_NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")


class ClusterNodes(Construct):
    """Add-ons first, then nodes, then what needs nodes to run on.

    Nodes may only join the cluster and pull images: the VPC CNI has its own role.

    :param path: construct path of the cluster.
    :param name: of the cluster, known at synthesis.
    :param update_schedule: when nodes are updated, or None for never.
    :param vpc_cni_role: the CNI's role, already tied to its service account.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: eks.Cluster,
        path: str,
        name: str,
        release: KubernetesRelease,
        node_groups: Sequence[NodeGroupSpec],
        autoscaler: Literal["cluster_autoscaler", "karpenter"],
        vpc: ec2.IVpc,
        zones: ClusterZones,
        update_schedule: str | None,
        alarm_topic: sns.ITopic | None,
        vpc_cni: VpcCni,
        vpc_cni_role: iam.Role,
        service_cidr: str,
        log_encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id)
        self.role = self._role()
        control_plane = ControlPlane(
            path=path,
            cluster_name=cluster.cluster_name,
            endpoint=cluster.cluster_endpoint,
            certificate_authority=cluster.cluster_certificate_authority_data,
            service_cidr=service_cidr,
            node_role_arn=self.role.role_arn,
        )
        groups = Construct(self, "Groups")
        system, others = Construct(groups, "system"), Construct(groups, "others")
        managed = managed_node_groups(
            Construct(self, "LaunchTemplates"),
            node_groups,
            autoscaler=autoscaler,
            zones=zones,
            control_plane=control_plane,
            efa_security_groups=self._efa_security_groups(cluster, vpc, node_groups),
        )
        sizes = NodeGroupSizes(
            self,
            "Sizes",
            cluster_name=control_plane.cluster_name,
            name=name,
            groups=managed,
            log_encryption_key=log_encryption_key,
        )
        scopes: dict[str, Construct] = {}
        for group in managed:
            place = system if group.spec.purpose == NodeGroupSpec.SYSTEM else others
            if group.spec.name not in scopes:
                scopes[group.spec.name] = Construct(place, group.spec.name)
            create_node_group(scopes[group.spec.name], group, control_plane, sizes.desired(group))
        self.updates: NodeGroupUpdates | None = None
        if update_schedule:
            self.updates = NodeGroupUpdates(
                self,
                "Updates",
                name=name,
                groups=managed,
                schedule=update_schedule,
                alarm_topic=alarm_topic,
                log_encryption_key=log_encryption_key,
            )

        add_on = partial(self._add_on, cluster_name=control_plane.cluster_name, release=release)
        network = add_on("vpc-cni", {"enableNetworkPolicy": "true", "env": vpc_cni.environment})
        network.node.add_dependency(vpc_cni_role)
        agents = [add_on(name) for name in ("kube-proxy", "eks-pod-identity-agent")]
        groups.node.add_dependency(network, *agents)
        dns = add_on("coredns", placement(node_groups, NodeGroupSpec.SYSTEM))
        dns.node.add_dependency(system)

    def _efa_security_groups(
        self, cluster: eks.Cluster, vpc: ec2.IVpc, node_groups: Sequence[NodeGroupSpec]
    ) -> list[str]:
        """The cluster's group, which EKS does not add if a launch template defines interfaces, and one for EFA traffic.

        EFA traffic is not IP traffic: only a rule that refers to the group itself allows it, in both directions.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-start.html#efa-start-security
        """
        if not any(spec.efa for spec in node_groups):
            return []
        group = ec2.SecurityGroup(
            self, "Efa", vpc=vpc, description=f"{self.node.path}: EFA between nodes", allow_all_outbound=False
        )
        group.add_ingress_rule(group, ec2.Port.all_traffic(), "EFA from nodes")
        group.add_egress_rule(group, ec2.Port.all_traffic(), "EFA to nodes")
        return [cluster.cluster_security_group_id, group.security_group_id]

    def _add_on(
        self,
        name: str,
        configuration: Mapping[str, Any] | None = None,
        *,
        cluster_name: str,
        release: KubernetesRelease,
    ) -> eks.CfnAddon:
        return eks.CfnAddon(
            self,
            name,
            cluster_name=cluster_name,
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


def placement(node_groups: Sequence[NodeGroupSpec], purpose: str) -> dict[str, Any]:
    """The ``nodeSelector`` and ``tolerations`` with which a pod runs on the nodes for ``purpose``, and nowhere else.

    :raises ConfigurationError: if no group has that purpose.
    """
    fitting = [spec for spec in node_groups if spec.purpose == purpose]
    if not fitting:
        purposes = ", ".join(sorted({spec.purpose for spec in node_groups}))
        raise ConfigurationError(f"no node group has purpose {purpose!r}; there are: {purposes}")
    tolerations: list[dict[str, str]] = []
    for spec in fitting:
        tolerations += [toleration for toleration in spec.tolerations if toleration not in tolerations]
    return {"nodeSelector": {NodeGroupSpec.PURPOSE_LABEL: purpose}, "tolerations": tolerations}
