from collections.abc import Sequence
from typing import ClassVar

from aws_cdk import Acknowledgment, CustomResource, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IDependable

from ._cluster import KubernetesCluster
from ._handler_code import NETWORK_ACTIONS, handler_code


class TeardownGuard(Construct):
    """Empties a cluster before it goes: what controllers made outside CloudFormation would outlive it, and be billed.

    When its stack is deleted, before anything that the guard depends on, it deletes in this order and waits each time
    until nothing is left: Ingresses, Services of type LoadBalancer and target group bindings; Karpenter's node pools
    and nodes; and, if data may go, volume claims and the disks behind them. A deletion that does not end fails the
    stack's, naming each object, its finalizers and what to do. Creating and updating do nothing, and neither does
    taking the guard out of a stack that stays.

    It acts as a member of the Kubernetes group ``TeardownGuard.GROUP``: bind it to a role that may list and delete
    these, in a manifest that the guard comes after.

    :param cluster: the cluster to empty.
    :param vpc: the cluster's network.
    :param after: what must still be there while the guard works: the controllers, and the binding of its group.
    :param log_encryption_key: encrypts its log; the policy lets CloudWatch Logs in. Default: CloudWatch's own key.
    :param removal_policy: DESTROY deletes disks too; else they are named in its log, and both stay. Default: they stay.
    """

    GROUP: ClassVar[str] = "mlplatform:teardown"

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster: KubernetesCluster,
        vpc: ec2.IVpc,
        after: Sequence[IDependable],
        log_encryption_key: kms.IKey | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not after:
            raise ValueError(
                f"{self.node.path}: after is empty; name the controllers, or they go before their work does"
            )

        log_group = logs.LogGroup(
            self,
            "Log",
            encryption_key=log_encryption_key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=removal_policy,
        )
        role = self._role(cluster, log_group)
        # Beside the role, not beside the cluster, whose stack would then need this one.
        access = eks.CfnAccessEntry(
            self,
            "Access",
            cluster_name=cluster.cluster.cluster_name,
            principal_arn=role.role_arn,
            kubernetes_groups=[self.GROUP],
        )
        function = self._function(cluster, vpc, role, log_group)
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
        guard.node.add_dependency(log_group, role, access, *after)

    def _function(
        self, cluster: KubernetesCluster, vpc: ec2.IVpc, role: iam.Role, log_group: logs.LogGroup
    ) -> lambda_.Function:
        return lambda_.Function(
            self,
            "Function",
            description="Deletes load balancers, nodes and disks that controllers made, before the cluster goes",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=handler_code("teardown_guard"),
            handler="handlers.teardown_guard.index.handler",
            role=role,
            log_group=log_group,
            timeout=Duration.minutes(15),  # the longest there is
            memory_size=256,
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=vpc.private_subnets),
            security_groups=[cluster.cluster.cluster_security_group],
        )

    def _role(self, cluster: KubernetesCluster, log_group: logs.LogGroup) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        stack = Stack.of(self)
        role.add_to_policy(
            iam.PolicyStatement(actions=["eks:DescribeCluster"], resources=[cluster.cluster.cluster_arn])
        )
        role.add_to_policy(iam.PolicyStatement(actions=["cloudformation:DescribeStacks"], resources=[stack.stack_id]))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=list(NETWORK_ACTIONS),
                resources=["*"],
                conditions={"StringEquals": {"aws:RequestedRegion": stack.region}},
            )
        )
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="Lambda makes its network interfaces with these; AWS lets them name no resource beforehand",
            )
        )
        return role
