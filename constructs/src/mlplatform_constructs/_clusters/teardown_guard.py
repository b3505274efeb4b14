from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from aws_cdk import CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, IDependable

from .._arguments import ConfigurationError, checked
from .._functions.handler_function import HandlerFunction
from .cluster import KubernetesCluster


class TeardownGuard(Construct):
    """A custom resource that empties a cluster when its stack is deleted.

    Resources that controllers create outside CloudFormation would outlive the cluster, and be billed. Before any of its
    dependencies is deleted, the guard deletes the following in order, and waits for each step: Karpenter's node pools,
    so that no new nodes are created; Ingresses, Services of type LoadBalancer and target group bindings; Karpenter's
    nodes; and, with DESTROY, volume claims and their disks.

    Disruption budgets that cover pods on these nodes, and the controllers of pods with ``karpenter.sh/do-not-disrupt``,
    are deleted before the nodes, because both would block the drain forever; pods that still run after five minutes get
    30 seconds more. The log lists all of these. If the deletion times out, that of the stack fails, and reports each
    object with its finalizers and the fix. Creating and updating the guard, or removing it from a stack, does nothing.

    It acts as a member of the Kubernetes group ``TeardownGuard.GROUP``: bind the group to a role that may get, list and
    delete ingresses, services, pods, claims, workloads, disruption budgets, target group bindings, node pools and node
    claims, in a manifest of ``after``.

    :param cluster: the cluster to empty.
    :param vpc: the cluster's network.
    :param after: constructs that must exist while the guard works: the controllers, and the binding of its group.
    :param log_encryption_key: encrypts its log; the policy must admit CloudWatch Logs. Default: CloudWatch's own key.
    :param removal_policy: with DESTROY, disks are deleted too; otherwise they are retained, and listed in the log with
        their volume ids. It is also the removal policy of the log. Default: RETAIN.
    :raises ConfigurationError: if ``after`` is empty.
    """

    GROUP: ClassVar[str] = "mlplatform:teardown"

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: KubernetesCluster,
        vpc: ec2.IVpc,
        after: Sequence[IDependable],
        log_encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not after:
            raise ConfigurationError(
                f"{self.node.path}: after is empty; name the controllers, which must be deleted after it"
            )

        function = HandlerFunction(
            self,
            "Function",
            description="Deletes load balancers, nodes and disks that controllers created, before the cluster",
            folder=Path(__file__).parent / "teardown_guard_handler",
            timeout=Duration.minutes(15),  # the longest that Lambda allows
            memory_size=256,
            log_encryption_key=log_encryption_key,
            log_removal_policy=removal_policy,
            vpc=vpc,
        )
        role = function.execution_role
        self._allow(role, cluster)
        # In this stack, not in the cluster's, which would then depend on this one.
        access = eks.CfnAccessEntry(
            self,
            "Access",
            cluster_name=cluster.cluster.cluster_name,
            principal_arn=role.role_arn,
            kubernetes_groups=[self.GROUP],
        )
        (group,) = function.connections.security_groups
        entry = ec2.CfnSecurityGroupIngress(
            self,
            "Entry",
            group_id=cluster.cluster.cluster_security_group_id,
            source_security_group_id=group.security_group_id,
            description=f"{self.node.path}: Kubernetes API",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
        )
        guard = CustomResource(
            self,
            "Guard",
            resource_type="Custom::TeardownGuard",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(16),
            properties={
                "ClusterName": cluster.cluster_name,
                "DeleteVolumes": str(removal_policy is RemovalPolicy.DESTROY).lower(),
            },
        )
        guard.node.add_dependency(function, role, access, entry, *after)

    def _allow(self, role: iam.Role, cluster: KubernetesCluster) -> None:
        role.add_to_policy(
            iam.PolicyStatement(actions=["eks:DescribeCluster"], resources=[cluster.cluster.cluster_arn])
        )
        role.add_to_policy(
            iam.PolicyStatement(actions=["cloudformation:DescribeStacks"], resources=[Stack.of(self).stack_id])
        )
