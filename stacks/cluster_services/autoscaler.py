from constructs import Construct

from charts.cluster_autoscaler import NAME, NAMESPACE
from mlplatform_constructs import WorkloadRole

from .installer import Allow, Installer


def cluster_autoscaler_role(scope: Construct, installer: Installer) -> WorkloadRole:
    """What the Cluster Autoscaler may do: look at groups, and change the size of those of its cluster.

    EKS tags the Auto Scaling groups of managed node groups. It also drains their nodes by itself: when EC2 takes spot
    capacity back, recommends to move, or balances zones.
    https://docs.aws.amazon.com/eks/latest/userguide/managed-node-groups.html#managed-node-group-capacity-types-spot
    """
    cluster = installer.cluster.cluster_name
    return installer.role(
        scope,
        "Autoscaler",
        NAME,
        namespace=NAMESPACE,
        allow=[
            Allow(
                actions=[
                    "autoscaling:DescribeAutoScalingGroups",
                    "autoscaling:DescribeAutoScalingInstances",
                    "autoscaling:DescribeLaunchConfigurations",
                    "autoscaling:DescribeScalingActivities",
                    "ec2:DescribeImages",
                    "ec2:DescribeInstanceTypes",
                    "ec2:DescribeLaunchTemplateVersions",
                    "ec2:GetInstanceTypesFromInstanceRequirements",
                ],
                resources=["*"],
                why="Auto Scaling and EC2 know no narrower one",
            ),
            Allow(
                actions=["eks:DescribeNodegroup"],
                resources=[installer.arn("eks", f"nodegroup/{cluster}/*")],
                why="the node groups of one cluster",
            ),
            Allow(
                actions=["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
                resources=[installer.arn("autoscaling", "autoScalingGroup:*")],
                conditions={"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster}": "owned"}},
                why="groups whose names EKS makes up, known by the cluster's tag",
            ),
        ],
    )
