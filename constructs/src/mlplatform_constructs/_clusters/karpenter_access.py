from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from .._arguments import checked
from .._security.account_grant import Arns, Permission, grant_permissions
from .cluster import KubernetesCluster

_POOL = "karpenter.sh/nodepool"
_TO_COME = "resources that do not exist yet; the condition requires the cluster's tags"
_NOTICES = (
    "AWS Health Event",
    "EC2 Instance Rebalance Recommendation",
    "EC2 Instance State-change Notification",
    "EC2 Spot Instance Interruption Warning",
)


class KarpenterAccess(Construct):
    """What Karpenter needs in AWS: permissions, the instance profile of its nodes, and the queue of interruptions.

    Karpenter may create nodes with the cluster's tags, delete only such nodes, and give them no role but that of the
    cluster's nodes. EC2 announces through the queue which instances it interrupts, recommends to move or stops;
    Karpenter then drains the node and creates another before the instance ends.
    https://karpenter.sh/docs/reference/cloudformation/

    - ``instance_profile``: for ``instanceProfile`` of every ``EC2NodeClass``.
    - ``queue``: its name is the setting ``interruptionQueue``. A message expires after five minutes.

    :param cluster: the cluster whose nodes Karpenter creates.
    :param role: role of Karpenter's service account, such as one of ``WorkloadIdentity``.
    :raises ConfigurationError: for a role of another account.
    """

    @checked
    def __init__(self, scope: Construct, id: str, *, cluster: KubernetesCluster, role: iam.IRole | iam.Role) -> None:
        super().__init__(scope, id)
        self.instance_profile = iam.CfnInstanceProfile(self, "NodeProfile", roles=[cluster.node_role.role_name])
        self.queue = self._queue()
        permissions = [
            *_create_nodes(Arns.of(self), cluster.cluster_name),
            Permission(
                actions=["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"],
                resources=[self.queue.queue_arn],
            ),
            Permission(
                actions=["iam:PassRole"],
                resources=[cluster.node_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
            ),
            Permission(actions=["iam:GetInstanceProfile"], resources=[self.instance_profile.attr_arn]),
            Permission(actions=["eks:DescribeCluster"], resources=[cluster.cluster_arn]),
        ]
        grant_permissions(self, role, permissions)

    def _queue(self) -> sqs.Queue:
        queue = sqs.Queue(
            self,
            "Notices",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.minutes(5),
        )
        reason = "a notice that is older than five minutes is about an instance that no longer exists"
        Validations.of(queue).acknowledge(Acknowledgment(id="AwsSolutions-SQS3", reason=reason))
        target = events.CfnRule.TargetProperty(arn=queue.queue_arn, id="Queue")
        pattern = {"source": ["aws.ec2", "aws.health"], "detail-type": list(_NOTICES)}
        rule = events.CfnRule(self, "Rule", event_pattern=pattern, targets=[target])
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("events.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": rule.attr_arn}},
            )
        )
        return queue


def _create_nodes(arns: Arns, cluster_name: str) -> list[Permission]:
    kinds = ("fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume")
    made = {kind: arns.regional("ec2", f"{kind}/*") for kind in kinds}
    ours = _tagged(cluster_name, "ResourceTag")
    return [
        *_use_images_and_network(arns),
        Permission(
            actions=["ec2:CreateFleet", "ec2:RunInstances"],
            resources=[made["launch-template"]],
            conditions=ours,
            why=_TO_COME,
        ),
        Permission(
            actions=["ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:RunInstances"],
            resources=list(made.values()),
            conditions=_tagged(cluster_name, "RequestTag"),
            why=_TO_COME,
        ),
        Permission(
            actions=["ec2:CreateTags"],
            resources=list(made.values()),
            conditions=_tagged(
                cluster_name,
                "RequestTag",
                {"ec2:CreateAction": ["CreateFleet", "CreateLaunchTemplate", "RunInstances"]},
            ),
            why=_TO_COME,
        ),
        Permission(
            actions=["ec2:CreateTags"],
            resources=[made["instance"]],
            conditions={
                **ours,
                "ForAllValues:StringEquals": {
                    "aws:TagKeys": ["Name", "eks:eks-cluster-name", "karpenter.sh/nodeclaim"]
                },
            },
            why=_TO_COME,
        ),
        Permission(
            actions=["ec2:DeleteLaunchTemplate", "ec2:TerminateInstances"],
            resources=[made["instance"], made["launch-template"]],
            conditions=ours,
            why=_TO_COME,
        ),
        *_describe(arns),
    ]


def _tagged(cluster_name: str, where: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    owned = f"aws:{where}/kubernetes.io/cluster/{cluster_name}"
    return {"StringEquals": {owned: "owned", **(more or {})}, "StringLike": {f"aws:{where}/{_POOL}": "*"}}


def _use_images_and_network(arns: Arns) -> list[Permission]:
    """Images and snapshots, the network of the account, and the service-linked role of the first spot instance."""
    public = [arns.public("ec2", f"{kind}/*") for kind in ("image", "snapshot")]
    own = [arns.regional("ec2", f"{kind}/*") for kind in ("capacity-reservation", "security-group", "subnet")]
    spot = "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    return [
        Permission(
            actions=["ec2:CreateFleet", "ec2:RunInstances"],
            resources=[*public, *own],
            why="the NodeClass names them, and only with an instance that carries the cluster's tags",
        ),
        Permission(
            actions=["iam:CreateServiceLinkedRole"],
            resources=[arns.iam(spot)],
            conditions={"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        ),
    ]


def _describe(arns: Arns) -> list[Permission]:
    describe = (
        "CapacityReservations Images InstanceStatus InstanceTypeOfferings InstanceTypes Instances LaunchTemplates "
        "PlacementGroups SecurityGroups SpotPriceHistory Subnets"
    )
    return [
        Permission(
            actions=[f"ec2:Describe{what}" for what in describe.split()],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": arns.region}},
            why="EC2 lists all resources of a kind or none",
        ),
        Permission(actions=["pricing:GetProducts"], resources=["*"], why="the AWS Price List has no resources"),
        Permission(actions=["iam:ListInstanceProfiles"], resources=["*"], why="IAM lists all profiles or none"),
        Permission(
            actions=["ssm:GetParameter"],
            resources=[arns.public("ssm", "parameter/aws/service/*")],
            why="AWS publishes the ids of its images there",
        ),
    ]
