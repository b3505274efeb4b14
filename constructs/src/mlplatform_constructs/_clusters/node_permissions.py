"""What agents and controllers on the nodes of a cluster need: to write logs and metrics, and to scale by them."""

from collections.abc import Sequence

from .._security.account_grant import Arns, Permission

_DESCRIBE_GROUPS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLaunchConfigurations",
    "autoscaling:DescribeScalingActivities",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:GetInstanceTypesFromInstanceRequirements",
)


def write_logs(log_group_arns: Sequence[str]) -> list[Permission]:
    """To write streams of existing log groups, and to describe the nodes that the lines come from.

    The CloudWatch agent publishes no metrics itself: CloudWatch extracts them from events of the group ``performance``.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/ContainerInsights.html
    """
    return [
        Permission(
            actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], resources=log_group_arns
        ),
        Permission(
            actions=["ec2:DescribeTags", "ec2:DescribeVolumes"],
            resources=["*"],
            why="EC2 lists all tags and volumes or none",
        ),
    ]


def write_metrics(workspace_arn: str) -> list[Permission]:
    """To send samples to a workspace. https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-APIReference.html"""
    return [Permission(actions=["aps:RemoteWrite"], resources=[workspace_arn])]


def query_metrics(workspace_arn: str) -> list[Permission]:
    """To query a workspace, and to list its series and labels."""
    actions = ["aps:GetLabels", "aps:GetMetricMetadata", "aps:GetSeries", "aps:QueryMetrics"]
    return [Permission(actions=actions, resources=[workspace_arn])]


def count_messages(arns: Arns, queue_prefixes: Sequence[str]) -> list[Permission]:
    """To count the messages of queues whose names begin with a prefix. https://keda.sh/docs/2.20/scalers/aws-sqs/"""
    return [
        Permission(
            actions=["sqs:GetQueueAttributes"],
            resources=[arns.regional("sqs", f"{prefix}*") for prefix in queue_prefixes],
            why="the queues are created later; their names begin with the prefix",
        )
    ]


def scale_node_groups(arns: Arns, cluster_name: str) -> list[Permission]:
    """To describe Auto Scaling groups, and to change the size of those of one cluster.

    EKS tags the Auto Scaling groups of managed node groups, and drains their nodes by itself: when EC2 takes spot
    capacity back, recommends to move, or balances zones.
    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html#managed-node-group-capacity-types-spot
    """
    return [
        Permission(
            actions=_DESCRIBE_GROUPS, resources=["*"], why="Auto Scaling and EC2 list all resources of a kind or none"
        ),
        Permission(
            actions=["eks:DescribeNodegroup"],
            resources=[arns.regional("eks", f"nodegroup/{cluster_name}/*")],
            why="the node groups of one cluster",
        ),
        Permission(
            actions=["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
            resources=[arns.regional("autoscaling", "autoScalingGroup:*")],
            conditions={"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster_name}": "owned"}},
            why="EKS generates the names of the groups; the condition requires the cluster's tag",
        ),
    ]
