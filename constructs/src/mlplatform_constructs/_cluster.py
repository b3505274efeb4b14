import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import jsii
from aws_cdk import Acknowledgment, Annotations, CfnElement, CfnResource, RemovalPolicy, Stack, Token, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

from ._address_budget import addresses_by_zone, check_address_budget
from ._cluster_access import ClusterAccess
from ._cluster_nodes import ClusterNodes, placement
from ._kubernetes_release import KubernetesRelease
from ._node_group import NodeGroupSpec
from ._vpc_cni import VpcCni
from ._workload_identity import WorkloadIdentity

_PRIVATE_RANGES = tuple(
    map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"))
)
_HANDLER_POLICIES = (
    "service-role/AWSLambdaBasicExecutionRole",
    "service-role/AWSLambdaVPCAccessExecutionRole",
    "AmazonEC2ContainerRegistryReadOnly",
)
_PUBLIC_ECR_POLICY = "AmazonElasticContainerRegistryPublicReadOnly"

Autoscaler = Literal["cluster_autoscaler", "karpenter"]
UpgradePolicy = Literal["standard", "extended"]


@jsii.implements(ec2.IConnectable)
class KubernetesCluster(Construct):
    """An EKS cluster with its node groups and the add-ons without which no node becomes ready.

    The API server answers inside the VPC only, to the nodes and to whom ``connections`` lets in. Who may do what there
    is said by access entries alone: ``grant_admin``, ``grant_group``, and a role for emergencies that is always there.
    All five logs of the control plane go to a log group that exists before the cluster does. Secrets are encrypted with
    ``secrets_encryption_key`` from the first one on: another key means another cluster.

    The cluster's name is made of the construct's path and of everything whose change replaces a cluster, so that a
    replacement never meets its own name. It is known at synthesis, which is how the log group can come first.

    :param vpc: network with private subnets. Nodes, and the control plane's interfaces, live in these.
    :param secrets_encryption_key: encrypts Kubernetes secrets.
    :param node_groups: one of them for ``system`` at least. Groups are made per zone, because the Cluster Autoscaler
        cannot choose the zone within a group, and because a group of one zone is never rebalanced across zones.
    :param version: Kubernetes minor. Default: ``KubernetesRelease.DEFAULT``.
    :param upgrade_policy: what happens when standard support of the minor ends. With ``extended`` the cluster stays, at
        six times the price, for a year; with ``standard`` EKS upgrades the control plane by itself, while add-ons and
        nodes stay behind and the template still names the old minor. Default: ``extended``.
        https://docs.aws.amazon.com/eks/latest/userguide/extended-support-control.html
    :param autoscaler: with ``karpenter``, only ``system`` groups are made, each across all its zones; Karpenter makes
        the nodes of the others. Default: ``cluster_autoscaler``.
    :param public_access_cidrs: public networks from which the API server answers too. Default: none.
    :param vpc_cni: how many addresses nodes keep ready. Default: few.
    :param addresses_in_use: addresses by zone that others may take from the same subnets, such as
        ``addresses_by_zone`` of another cluster. Default: none.
    :param service_cidr: addresses of Kubernetes services; may not touch the VPC's. Default: ``172.20.0.0/16``.
    :param break_glass_principals: ARNs of users or roles of this account that may take the emergency role, with a
        second factor. Default: everybody whom IAM lets assume it, with a second factor.
    :param log_encryption_key: encrypts the logs; its policy lets CloudWatch Logs in. Default: CloudWatch's own key.
    :param log_retention: how long the control plane's logs are kept. Default: a year.
    :param deletion_protection: whether EKS refuses to delete the cluster. Default: it refuses.
    :param removal_policy: what becomes of the control plane's logs when the stack goes. Default: they stay.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        secrets_encryption_key: kms.IKey,
        node_groups: Sequence[NodeGroupSpec],
        version: str = KubernetesRelease.DEFAULT,
        upgrade_policy: UpgradePolicy = "extended",
        autoscaler: Autoscaler = "cluster_autoscaler",
        public_access_cidrs: Sequence[str] = (),
        vpc_cni: VpcCni | None = None,
        addresses_in_use: Mapping[str, int] | None = None,
        service_cidr: str = "172.20.0.0/16",
        break_glass_principals: Sequence[str] = (),
        log_encryption_key: kms.IKey | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        deletion_protection: bool = True,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self.node_groups = tuple(node_groups)
        self.autoscaler = autoscaler
        self.release = self._release(version)
        vpc_cni = vpc_cni or VpcCni()
        subnets = {subnet.availability_zone: subnet for subnet in vpc.private_subnets}
        blocks = {zone: subnet.ipv4_cidr_block for zone, subnet in subnets.items()}
        self._check(blocks, public_access_cidrs, service_cidr)
        self.addresses_by_zone = addresses_by_zone(self.node_groups, list(subnets), vpc_cni)
        check_address_budget(self.node.path, self.addresses_by_zone, addresses_in_use or {}, blocks)

        self.service_accounts: dict[tuple[str, str], str] = {}
        self._oidc_provider: iam.OidcProviderNative | None = None
        self.cluster_name = self._name(secrets_encryption_key, service_cidr)
        self.log_group = self._log_group(log_encryption_key, log_retention, removal_policy)
        self._security_group = ec2.SecurityGroup(
            self, "ControlPlane", vpc=vpc, description="API server: only named groups in", allow_all_outbound=False
        )
        self._connections = ec2.Connections(security_groups=[self._security_group], default_port=ec2.Port.HTTPS)
        self.cluster = self._cluster(
            vpc, list(subnets.values()), secrets_encryption_key, public_access_cidrs, service_cidr
        )
        self._set_what_the_cdk_leaves_out(deletion_protection, upgrade_policy)
        self._keep_handler_logs(log_encryption_key)
        self._acknowledge()
        self._access = ClusterAccess(
            self, "Access", cluster=self.cluster, break_glass_principals=break_glass_principals
        )
        self.node_role = ClusterNodes(
            self,
            "Nodes",
            cluster=self.cluster,
            name=self.cluster_name,
            release=self.release,
            node_groups=self.node_groups,
            autoscaler=autoscaler,
            subnets={zone: subnet.subnet_id for zone, subnet in subnets.items()},
            vpc_cni=vpc_cni,
            vpc_cni_role=self._vpc_cni_role(),
            service_cidr=service_cidr,
            log_encryption_key=log_encryption_key,
        ).role
        self._warn()

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """Who reaches the API server from outside the cluster: ``connections.allow_default_port_from(bastion)``."""
        return self._connections

    @property
    def access_groups(self) -> frozenset[str]:
        """The Kubernetes groups that roles were made members of. Each needs a binding; EKS does not check."""
        return self._access.groups

    @property
    def break_glass_role(self) -> iam.Role:
        """The role for the day when nobody else gets in; nothing takes its access away."""
        return self._access.break_glass_role

    @property
    def oidc_provider(self) -> iam.OidcProviderNative:
        """What makes IAM trust the tokens of service accounts; made on first use."""
        if self._oidc_provider is None:
            self._oidc_provider = iam.OidcProviderNative(
                self,
                "OidcProvider",
                url=self.cluster.cluster_open_id_connect_issuer_url,
                client_ids=["sts.amazonaws.com"],
            )
        return self._oidc_provider

    def grant_admin(self, principal: iam.IRole, *, username: str | None = None) -> None:
        """Let ``principal`` do everything, by EKS's own policy, which no RBAC object can take away.

        :param username: its name in the cluster, where the role is one person's. Default: EKS's, from ARN and session.
        :raises ValueError: when it has access already; EKS keeps one entry for each role.
        """
        self._access.grant_admin(principal, username)

    def grant_group(self, principal: iam.IRole, group: str, *, username: str | None = None) -> None:
        """Make ``principal`` a member of the Kubernetes group ``group``, and leave the rest to RBAC.

        :param username: its name in the cluster, where the role is one person's. Default: EKS's, from ARN and session.
        :raises ValueError: when it has access already, or the group's name is reserved.
        """
        self._access.grant_group(principal, group, username)

    def grant_user(self, principal: iam.IRole, username: str) -> None:
        """Make ``principal``, one person's role, known as ``username``, and leave all rights to RBAC.

        :raises ValueError: when it has access already, or the name is reserved.
        """
        self._access.grant_user(principal, username)

    def placement(self, purpose: str) -> dict[str, Any]:
        """What a pod must say in order to run on the nodes for ``purpose``: ``nodeSelector`` and ``tolerations``.

        :raises ValueError: when no group has that purpose.
        """
        try:
            return placement(self.node_groups, purpose)
        except ValueError as error:
            raise ValueError(f"{self.node.path}: {error}") from None

    @property
    def device_plugin_config(self) -> dict[str, Any]:
        """The NVIDIA device plugin's configurations by name, for nodes whose pods share GPUs."""
        return {name: config for spec in self.node_groups for name, config in spec.device_plugin_config.items()}

    def _warn(self) -> None:
        for spec in self.node_groups:
            for warning in spec.warnings:
                Annotations.of(self).add_warning_v2(f"mlplatform:{spec.name}", warning)

    def _log_group(
        self, encryption_key: kms.IKey | None, retention: logs.RetentionDays, removal_policy: RemovalPolicy
    ) -> logs.LogGroup:
        """Where EKS writes, by the name that EKS gives it; left alone, EKS makes one without key and end.

        What is kept goes with a first deployment that fails: empty, it would stop every further attempt by its name.
        """
        keep = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
        return logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=f"/aws/eks/{self.cluster_name}/cluster",
            encryption_key=encryption_key,
            retention=retention,
            removal_policy=keep if removal_policy is RemovalPolicy.RETAIN else removal_policy,
        )

    def _name(self, secrets_encryption_key: kms.IKey, service_cidr: str) -> str:
        parts = json.dumps([self.node.path, secrets_encryption_key.node.path, service_cidr])
        words = re.sub(r"[^0-9A-Za-z]+", "-", self.node.path).strip("-")
        return f"{words[:80]}-{hashlib.sha256(parts.encode()).hexdigest()[:8]}"

    def _cluster(
        self,
        vpc: ec2.IVpc,
        subnets: Sequence[ec2.ISubnet],
        secrets_encryption_key: kms.IKey,
        public_access_cidrs: Sequence[str],
        service_cidr: str,
    ) -> eks.Cluster:
        private = eks.EndpointAccess.PRIVATE
        return eks.Cluster(
            self,
            "Cluster",
            cluster_name=self.cluster_name,
            version=eks.KubernetesVersion.of(self.release.minor),
            vpc=vpc,
            vpc_subnets=[ec2.SubnetSelection(subnets=list(subnets))],
            security_group=self._security_group,
            endpoint_access=eks.EndpointAccess.PUBLIC_AND_PRIVATE.only_from(*public_access_cidrs)
            if public_access_cidrs
            else private,
            secrets_encryption_key=secrets_encryption_key,
            service_ipv4_cidr=service_cidr,
            cluster_logging=list(eks.ClusterLoggingTypes),
            default_capacity_type=eks.DefaultCapacityType.NODEGROUP,
            default_capacity=0,
            bootstrap_cluster_creator_admin_permissions=False,
            bootstrap_self_managed_addons=False,
            kubectl_provider_options=eks.KubectlProviderOptions(
                kubectl_layer=self.release.kubectl_layer(self, "Kubectl")
            ),
            removal_policy=RemovalPolicy.DESTROY,  # of the CDK's handlers; deletion protection keeps the cluster
        )

    def _set_what_the_cdk_leaves_out(self, deletion_protection: bool, upgrade_policy: UpgradePolicy) -> None:
        cluster = cast(eks.CfnCluster, self.cluster.node.default_child)
        cluster.deletion_protection = deletion_protection
        cluster.upgrade_policy = eks.CfnCluster.UpgradePolicyProperty(support_type=upgrade_policy.upper())
        cluster.zonal_shift_config = eks.CfnCluster.ZonalShiftConfigProperty(enabled=True)
        cluster.add_resource_dependency(cast(CfnResource, self.log_group.node.default_child))
        # Late logs of a cluster that goes would make a new group, without key or end, after this one is gone.
        cast(iam.Role, self.cluster.role).add_to_policy(
            iam.PolicyStatement(effect=iam.Effect.DENY, actions=["logs:CreateLogGroup"], resources=["*"])
        )

    def _keep_handler_logs(self, encryption_key: kms.IKey | None) -> None:
        """The CDK's kubectl handler logs whole manifests: encrypt that too, and forget it after a month.

        Apps without the feature flag ``@aws-cdk/aws-lambda:useCdkManagedLogGroup`` leave these groups to Lambda.
        """
        for handler in self._kubectl_handlers():
            if log_group := handler.node.try_find_child("LogGroup"):
                group = cast(logs.CfnLogGroup, log_group.node.default_child)
                group.retention_in_days = 30
                group.kms_key_id = encryption_key.key_arn if encryption_key else None

    def _vpc_cni_role(self) -> iam.Role:
        role = WorkloadIdentity.pod_identity(self).role_for(
            self, "VpcCniRole", namespace="kube-system", service_account="aws-node"
        )
        role.add_managed_policy(iam.ManagedPolicy.from_aws_managed_policy_name("AmazonEKS_CNI_Policy"))
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonEKS_CNI_Policy]",
                reason="AWS keeps what its network plugin needs up to date there; one service account has it",
            )
        )
        return role

    def _acknowledge(self) -> None:
        """For the role and the handlers that the CDK makes; findings are named by policy or resource."""
        policy = "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{}]"
        Validations.of(self.cluster).acknowledge(
            Acknowledgment(
                id=policy.format("AmazonEKSClusterPolicy"), reason="AWS keeps what EKS needs up to date there"
            )
        )
        handler = self._kubectl_handlers()[0]
        function = self._logical_id(handler.node.default_child)
        public_charts = {
            "Fn::If": [
                self._logical_id(handler.node.find_child("HasEcrPublic")),
                {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, f":iam::aws:policy/{_PUBLIC_ECR_POLICY}"]]},
                {"Ref": "AWS::NoValue"},
            ]
        }
        findings = {
            **{policy.format(name): "logs, network interfaces, charts in ECR" for name in _HANDLER_POLICIES},
            f"AwsSolutions-IAM4[Policy::{json.dumps(public_charts, separators=(',', ':'))}]": "charts in ECR Public",
            f"AwsSolutions-IAM5[Resource::<{function}.Arn>:*]": "any version of the one function that it calls",
            "AwsSolutions-L1": "the CDK moves its handlers to newer runtimes",
        }
        Validations.of(self.cluster.node.find_child("KubectlProvider")).acknowledge(
            *(Acknowledgment(id=id, reason=f"the CDK's kubectl handler: {why}") for id, why in findings.items())
        )

    def _kubectl_handlers(self) -> tuple[IConstruct, IConstruct]:
        provider = self.cluster.node.find_child("KubectlProvider").node
        return provider.find_child("Handler"), provider.find_child("Provider").node.find_child("framework-onEvent")

    def _logical_id(self, element: IConstruct | None) -> str:
        return Stack.of(self).get_logical_id(cast(CfnElement, element))

    def _release(self, version: str) -> KubernetesRelease:
        try:
            return KubernetesRelease.of(version)
        except ValueError as error:
            raise ValueError(f"{self.node.path}: version: {error}") from None

    def _check(self, blocks: Mapping[str, str], public_access_cidrs: Sequence[str], service_cidr: str) -> None:
        self._check_node_groups(list(blocks))
        self._check_public_access(public_access_cidrs)
        self._check_service_cidr(service_cidr, blocks)

    def _check_node_groups(self, zones: Sequence[str]) -> None:
        names = [spec.name for spec in self.node_groups]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.node.path}: node_groups has {', '.join(twice)} twice; name each group once")
        for spec in self.node_groups:
            if strangers := [zone for zone in spec.availability_zones if zone not in zones]:
                raise ValueError(
                    f"{self.node.path}: node group {spec.name!r}: no private subnet in {', '.join(strangers)}; "
                    f"choose from {', '.join(zones)}"
                )
        if not any(spec.purpose == NodeGroupSpec.SYSTEM and spec.min_per_zone for spec in self.node_groups):
            raise ValueError(
                f"{self.node.path}: node_groups needs one with purpose 'system' and min_per_zone of 1 or more; "
                "the platform's own pods run there"
            )

    def _check_public_access(self, cidrs: Sequence[str]) -> None:
        for cidr in cidrs:
            place = f"{self.node.path}: public_access_cidrs"
            try:
                block = ipaddress.IPv4Network(cidr)
            except ValueError as error:
                raise ValueError(f"{place}: must be networks such as 203.0.113.0/24, got {cidr!r}: {error}") from None
            if block.prefixlen < 8:
                raise ValueError(f"{place}: {cidr} is open to the world; name the networks of your offices")
            if any(block.overlaps(private) for private in _PRIVATE_RANGES):
                raise ValueError(f"{place}: {cidr} is private, and EKS refuses it; name public networks only")

    def _check_service_cidr(self, service_cidr: str, blocks: Mapping[str, str]) -> None:
        place = f"{self.node.path}: service_cidr"
        try:
            services = ipaddress.IPv4Network(service_cidr)
        except ValueError as error:
            raise ValueError(
                f"{place} must be a network such as 172.20.0.0/16, got {service_cidr!r}: {error}"
            ) from None
        if not services.is_private or not 12 <= services.prefixlen <= 24:
            raise ValueError(f"{place} must be a private network of /12 to /24, got {service_cidr}; EKS takes no other")
        for block in blocks.values():
            if not Token.is_unresolved(block) and services.overlaps(ipaddress.IPv4Network(block)):
                raise ValueError(f"{place} {service_cidr} overlaps subnet {block}; choose another")
