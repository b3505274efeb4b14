import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import jsii
from aws_cdk import Acknowledgment, Annotations, CfnElement, CfnResource, RemovalPolicy, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

from .._arguments import ConfigurationError, check_arns, checked
from .._security.account_grant import Arns, grant_permissions
from .address_budget import addresses_by_zone, check_address_budget
from .cluster_access import ClusterAccess
from .cluster_checks import check_node_groups, check_public_access, service_network
from .cluster_nodes import ClusterNodes, placement
from .cluster_zones import ClusterZones, known_blocks
from .kubernetes_release import KubernetesRelease
from .load_balancing_permissions import manage_load_balancers
from .node_group import NodeGroupSpec
from .node_group_updates import WEEKLY
from .node_permissions import count_messages, query_metrics, scale_node_groups, write_logs, write_metrics
from .vpc_cni import VpcCni
from .workload_identity import WorkloadIdentity

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

    The API server is accessible only inside the VPC, from nodes and from peers that ``connections`` allows. Access is
    granted by access entries only: ``grant_admin``, ``grant_group``, ``grant_user``, and an emergency role that always
    exists. All five logs of the control plane are written to a log group that is created before the cluster. Secrets
    are encrypted with ``secrets_encryption_key`` from the beginning; a different key replaces the cluster.

    The cluster's name is derived from the construct's path and from everything whose change replaces a cluster, so that
    a replacement never conflicts with the old name. It is known at synthesis.

    - ``cluster``: the CDK's cluster, for everything that this construct does not expose.
    - ``cluster_name``, ``log_group``, ``release``, ``node_groups``, ``node_role``, ``service_cidr``.
    - ``addresses_by_zone``: maximum of addresses of nodes and pods, for ``addresses_in_use`` of another cluster.

    :param vpc: network of the cluster: created by the CDK, looked up or imported.
    :param secrets_encryption_key: encrypts Kubernetes secrets.
    :param node_groups: at least one with the purpose ``system``. Groups are created per zone, because the Cluster
        Autoscaler cannot choose the zone within a group, and because a group of one zone is never rebalanced.
    :param subnets: private subnets for nodes and for the control plane's interfaces, several in a zone if you like.
        Default: all private subnets of ``vpc``. The control plane uses one in each of the first two zones, so that its
        zones do not change when a zone is added to the VPC; everything else uses all subnets.
    :param version: Kubernetes minor. Default: ``KubernetesRelease.DEFAULT``. A deployment updates the control plane and
        the add-ons; nodes follow on ``node_update_schedule``.
    :param node_update_schedule: when nodes are updated to the control plane's minor and the latest release of their
        image, one group after the other, as an EventBridge schedule expression; with None, nodes are never patched.
        Default: twice an hour from 01:00 to 06:59 UTC on Sundays.
    :param alarm_topic: receives an alarm when nodes have had an old image for a week. Default: no alarms.
    :param upgrade_policy: what EKS does when standard support of the minor ends. With ``extended`` the cluster remains
        unchanged for a year, at six times the price; with ``standard`` EKS upgrades the control plane automatically,
        while add-ons, nodes and the template remain at the old minor. Default: ``extended``.
        https://docs.aws.amazon.com/eks/latest/userguide/extended-support-control.html
    :param autoscaler: with ``karpenter``, only ``system`` groups are created, each across all its zones; Karpenter
        creates the nodes of the others. Default: ``cluster_autoscaler``.
    :param public_access_cidrs: public networks with access to the API server. Default: none.
    :param vpc_cni: number of addresses that nodes keep ready. Default: few.
    :param addresses_in_use: addresses by zone that others can use in the same subnets, such as ``addresses_by_zone`` of
        another cluster. Default: none.
    :param service_cidr: addresses of Kubernetes services; must not overlap the VPC. Default: ``172.20.0.0/16``, or
        ``10.100.0.0/16`` where the VPC overlaps that.
    :param break_glass_principals: ARNs of users or roles of this account that may assume the emergency role, with a
        second factor. Default: every principal that IAM allows to assume it, with a second factor.
    :param log_encryption_key: encrypts the logs; its policy must admit CloudWatch Logs. Default: CloudWatch's own key.
    :param log_retention: retention of the control plane's logs. Default: a year.
    :param deletion_protection: whether EKS refuses to delete the cluster. Default: yes.
    :param removal_policy: removal policy of the control plane's logs. Default: RETAIN.
    :raises ConfigurationError: for invalid arguments, before a resource is created.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        secrets_encryption_key: kms.IKey | kms.Key,
        node_groups: Sequence[NodeGroupSpec],
        subnets: Sequence[ec2.ISubnet | ec2.Subnet] | None = None,
        version: str = KubernetesRelease.DEFAULT,
        node_update_schedule: str | None = WEEKLY,
        alarm_topic: sns.ITopic | sns.Topic | None = None,
        upgrade_policy: UpgradePolicy = "extended",
        autoscaler: Autoscaler = "cluster_autoscaler",
        public_access_cidrs: Sequence[str] = (),
        vpc_cni: VpcCni | None = None,
        addresses_in_use: Mapping[str, int] | None = None,
        service_cidr: str | None = None,
        break_glass_principals: Sequence[str] = (),
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        deletion_protection: bool = True,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        path = self.node.path
        self.node_groups = tuple(node_groups)
        self.autoscaler = autoscaler
        self.release = self._release(version)
        vpc_cni = vpc_cni or VpcCni()
        zones = ClusterZones.of(path, vpc, subnets)
        blocks = known_blocks(vpc, zones)
        check_node_groups(path, self.node_groups, zones, autoscaler)
        check_public_access(path, public_access_cidrs)
        self.service_cidr = service_network(path, service_cidr, blocks)
        check_arns(path, "break_glass_principals", break_glass_principals, service="iam", resources=["role/", "user/"])
        self.addresses_by_zone = addresses_by_zone(self.node_groups, zones, vpc_cni)
        if not zones.is_lookup_pending:
            check_address_budget(path, self.addresses_by_zone, addresses_in_use or {}, zones.zones)

        self._oidc_provider: iam.OidcProviderNative | None = None
        self.cluster_name = self._name(secrets_encryption_key)
        self.log_group = self._log_group(log_encryption_key, log_retention, removal_policy)
        self._security_group = ec2.SecurityGroup(
            self, "ControlPlane", vpc=vpc, description="API server: only named groups in", allow_all_outbound=False
        )
        self._connections = ec2.Connections(security_groups=[self._security_group], default_port=ec2.Port.HTTPS)
        self.cluster = self._cluster(vpc, zones, secrets_encryption_key, public_access_cidrs)
        self._set_missing_properties(deletion_protection, upgrade_policy)
        self._keep_handler_logs(log_encryption_key)
        self._acknowledge()
        self._access = ClusterAccess(
            self, "Access", cluster=self.cluster, break_glass_principals=break_glass_principals
        )
        nodes = ClusterNodes(
            self,
            "Nodes",
            cluster=self.cluster,
            path=path,
            name=self.cluster_name,
            release=self.release,
            node_groups=self.node_groups,
            autoscaler=autoscaler,
            vpc=vpc,
            zones=zones,
            update_schedule=node_update_schedule,
            alarm_topic=alarm_topic,
            vpc_cni=vpc_cni,
            vpc_cni_role=self._vpc_cni_role(),
            service_cidr=self.service_cidr,
            log_encryption_key=log_encryption_key,
        )
        self.node_role = nodes.role
        self.node_updates = nodes.updates
        self._warn()

    @property
    def cluster_arn(self) -> str:
        """ARN of the cluster, as a token that depends on its creation."""
        return self.cluster.cluster_arn

    @property
    def endpoint(self) -> str:
        """URL of the API server."""
        return self.cluster.cluster_endpoint

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The security group of nodes and pods, which EKS creates and deletes with the cluster."""
        return self.cluster.cluster_security_group

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """Opens the API server to others of the VPC: ``connections.allow_default_port_from(bastion)``."""
        return self._connections

    @property
    def access_groups(self) -> frozenset[str]:
        """The Kubernetes groups that grants have named. Each needs a binding; EKS does not check."""
        return self._access.groups

    @property
    def break_glass_role(self) -> iam.Role:
        """The emergency role, which is always an administrator."""
        return self._access.break_glass_role

    @property
    def oidc_provider(self) -> iam.OidcProviderNative:
        """The OpenID Connect provider by which IAM trusts tokens of service accounts; created on first use."""
        if self._oidc_provider is None:
            self._oidc_provider = iam.OidcProviderNative(
                self,
                "OidcProvider",
                url=self.cluster.cluster_open_id_connect_issuer_url,
                client_ids=["sts.amazonaws.com"],
            )
        return self._oidc_provider

    def grant_find(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to read the cluster's address, which ``aws eks update-kubeconfig`` needs.

        The policy contains the name of the cluster rather than a reference, so that the stack of ``grantee`` does not
        depend on that of the cluster.
        """
        arn = Arns.of(self).regional("eks", f"cluster/{self.cluster_name}")
        return iam.Grant.add_to_principal(grantee=grantee, actions=["eks:DescribeCluster"], resource_arns=[arn])

    @checked
    def grant_write_logs(self, grantee: iam.IGrantable, log_groups: Sequence[logs.ILogGroup]) -> iam.Grant:
        """Allow ``grantee`` to write into existing log groups, and to describe the nodes that the lines come from.

        For agents such as CloudWatch's. They cannot create log groups, which would have neither key nor retention.
        """
        return grant_permissions(self, grantee, write_logs([group.log_group_arn for group in log_groups]))

    @checked
    def grant_write_metrics(self, grantee: iam.IGrantable, workspace_arn: str) -> iam.Grant:
        """Allow ``grantee`` to send samples to a workspace of Amazon Managed Service for Prometheus."""
        return grant_permissions(self, grantee, write_metrics(workspace_arn))

    @checked
    def grant_query_metrics(self, grantee: iam.IGrantable, workspace_arn: str) -> iam.Grant:
        """Allow ``grantee`` to query a workspace of Amazon Managed Service for Prometheus, and to change nothing."""
        return grant_permissions(self, grantee, query_metrics(workspace_arn))

    @checked
    def grant_count_messages(self, grantee: iam.IGrantable, queue_prefixes: Sequence[str]) -> iam.Grant:
        """Allow ``grantee`` to count the messages of SQS queues by the beginnings of their names, and to receive none.

        For autoscalers such as KEDA: the queues of the cluster's account and Region, which may not exist yet.
        """
        return grant_permissions(self, grantee, count_messages(Arns.of(self), queue_prefixes))

    @checked
    def grant_scale_node_groups(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to change the size of the cluster's node groups and of no others.

        For the Cluster Autoscaler: grant it to the role of its service account.
        """
        return grant_permissions(self, grantee, scale_node_groups(Arns.of(self), self.cluster_name))

    @checked
    def grant_manage_load_balancers(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to create load balancers in the cluster's VPC, and to change those with its tag.

        For the AWS Load Balancer Controller, which tags what it creates with ``elbv2.k8s.aws/cluster``. A target group
        that is created elsewhere needs that tag, with the cluster's name, before pods can be bound to it.
        """
        permissions = manage_load_balancers(
            Arns.of(self),
            self.cluster_name,
            vpc_id=self.cluster.vpc.vpc_id,
            node_security_group_id=self.security_group.security_group_id,
        )
        return grant_permissions(self, grantee, permissions)

    @checked
    def grant_admin(self, grantee: iam.IRole | iam.Role, *, username: str | None = None) -> iam.Grant:
        """Grant ``grantee`` all permissions, by EKS's own access policy, which no RBAC object can revoke.

        As with the other two, a role of this app may read the cluster's address, too; grant that to imported ones.

        :param username: its name in the cluster, where the role is one person's. Default: EKS's, from ARN and session.
        :raises ConfigurationError: if it has access already; EKS keeps one entry for each role.
        """
        return self._access.grant_admin(grantee, username)

    @checked
    def grant_group(self, grantee: iam.IRole | iam.Role, group: str, *, username: str | None = None) -> iam.Grant:
        """Make ``grantee`` a member of the Kubernetes group ``group``, and leave the rest to RBAC.

        :param username: its name in the cluster, where the role is one person's. Default: EKS's, from ARN and session.
        :raises ConfigurationError: if it has access already, or the group's name is empty or reserved.
        """
        return self._access.grant_group(grantee, group, username)

    @checked
    def grant_user(self, grantee: iam.IRole | iam.Role, username: str) -> iam.Grant:
        """Give ``grantee``, one person's role, the user name ``username``, and leave all rights to RBAC.

        :raises ConfigurationError: if it has access already, or the name is empty or reserved.
        """
        return self._access.grant_user(grantee, username)

    def placement(self, purpose: str) -> dict[str, Any]:
        """The ``nodeSelector`` and ``tolerations`` with which a pod runs on the nodes for ``purpose``.

        :raises ConfigurationError: if no group has that purpose.
        """
        try:
            return placement(self.node_groups, purpose)
        except ValueError as error:
            raise ConfigurationError(f"{self.node.path}: {error}") from None

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
        """The control plane's log group, by the name that EKS expects; EKS would create one without key and retention.

        Even a retained group is deleted if its first deployment fails, so that it does not block the next attempt.
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

    def _name(self, secrets_encryption_key: kms.IKey) -> str:
        parts = json.dumps([self.node.path, secrets_encryption_key.node.path, self.service_cidr])
        words = re.sub(r"[^0-9A-Za-z]+", "-", self.node.path).strip("-")
        return f"{words[:80]}-{hashlib.sha256(parts.encode()).hexdigest()[:8]}"

    def _cluster(
        self,
        vpc: ec2.IVpc,
        zones: ClusterZones,
        secrets_encryption_key: kms.IKey,
        public_access_cidrs: Sequence[str],
    ) -> eks.Cluster:
        private = eks.EndpointAccess.PRIVATE
        kubectl = self._kubectl_security_group(vpc)
        cluster = eks.Cluster(
            self,
            "Cluster",
            cluster_name=self.cluster_name,
            version=eks.KubernetesVersion.of(self.release.minor),
            vpc=vpc,
            vpc_subnets=[ec2.SubnetSelection(subnets=zones.of_control_plane)],
            security_group=self._security_group,
            endpoint_access=eks.EndpointAccess.PUBLIC_AND_PRIVATE.only_from(*public_access_cidrs)
            if public_access_cidrs
            else private,
            secrets_encryption_key=secrets_encryption_key,
            service_ipv4_cidr=self.service_cidr,
            cluster_logging=list(eks.ClusterLoggingTypes),
            default_capacity_type=eks.DefaultCapacityType.NODEGROUP,
            default_capacity=0,
            bootstrap_cluster_creator_admin_permissions=False,
            bootstrap_self_managed_addons=False,
            kubectl_provider_options=eks.KubectlProviderOptions(
                kubectl_layer=self.release.kubectl_layer(self, "Kubectl"),
                private_subnets=zones.of_control_plane,
                security_groups=[kubectl],
            ),
            removal_policy=RemovalPolicy.DESTROY,  # of the CDK's handlers; deletion protection keeps the cluster
        )
        entry = ec2.CfnSecurityGroupIngress(
            self,
            "KubectlEntry",
            group_id=self._security_group.security_group_id,
            source_security_group_id=kubectl.security_group_id,
            description="kubectl handlers",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
        )
        cluster.node.find_child("KubectlProvider").node.add_dependency(entry)
        return cluster

    def _kubectl_security_group(self, vpc: ec2.IVpc) -> ec2.SecurityGroup:
        """Of the functions that run kubectl. In EKS's own group they would keep it, and then the VPC, from deletion."""
        group = ec2.SecurityGroup(
            self, "KubectlSecurityGroup", vpc=vpc, description="kubectl handlers", allow_all_outbound=False
        )
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "API server, AWS APIs, chart repositories")
        return group

    def _set_missing_properties(self, deletion_protection: bool, upgrade_policy: UpgradePolicy) -> None:
        cluster = cast(eks.CfnCluster, self.cluster.node.default_child)
        cluster.deletion_protection = deletion_protection
        cluster.upgrade_policy = eks.CfnCluster.UpgradePolicyProperty(support_type=upgrade_policy.upper())
        cluster.zonal_shift_config = eks.CfnCluster.ZonalShiftConfigProperty(enabled=True)
        cluster.add_resource_dependency(cast(CfnResource, self.log_group.node.default_child))
        # Late log entries of a deleted cluster must not create a new group without key and retention.
        cast(iam.Role, self.cluster.role).add_to_policy(
            iam.PolicyStatement(effect=iam.Effect.DENY, actions=["logs:CreateLogGroup"], resources=["*"])
        )

    def _keep_handler_logs(self, encryption_key: kms.IKey | None) -> None:
        """The CDK's kubectl handler logs whole manifests: encrypt its log, too, and retain it for a month.

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
        """For the role and the handlers that the CDK creates; findings are named by policy or resource."""
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
            raise ConfigurationError(f"{self.node.path}: version: {error}") from None
