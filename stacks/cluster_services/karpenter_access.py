"""What Karpenter may do in EC2: make instances with the cluster's tags, and end such instances.

https://karpenter.sh/docs/reference/cloudformation/
"""

from collections.abc import Mapping
from typing import Any

from .installer import Allow, Installer

_POOL = "karpenter.sh/nodepool"
_TO_COME = "what is yet to come, known by the cluster's tags"


def making_nodes(installer: Installer) -> list[Allow]:
    """To look, to make nodes and to end them."""
    kinds = ("fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume")
    made = {kind: installer.arn("ec2", f"{kind}/*") for kind in kinds}
    ours = _tagged(installer, "ResourceTag")
    return [
        *_using(installer),
        Allow(
            actions=["ec2:CreateFleet", "ec2:RunInstances"],
            resources=[made["launch-template"]],
            conditions=ours,
            why=_TO_COME,
        ),
        Allow(
            actions=["ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:RunInstances"],
            resources=list(made.values()),
            conditions=_tagged(installer, "RequestTag"),
            why=_TO_COME,
        ),
        Allow(
            actions=["ec2:CreateTags"],
            resources=list(made.values()),
            conditions=_tagged(
                installer,
                "RequestTag",
                {"ec2:CreateAction": ["CreateFleet", "CreateLaunchTemplate", "RunInstances"]},
            ),
            why=_TO_COME,
        ),
        Allow(
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
        Allow(
            actions=["ec2:DeleteLaunchTemplate", "ec2:TerminateInstances"],
            resources=[made["instance"], made["launch-template"]],
            conditions=ours,
            why=_TO_COME,
        ),
        *_looking(installer),
    ]


def _tagged(installer: Installer, where: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    owned = f"aws:{where}/kubernetes.io/cluster/{installer.cluster.cluster_name}"
    return {"StringEquals": {owned: "owned", **(more or {})}, "StringLike": {f"aws:{where}/{_POOL}": "*"}}


def _using(installer: Installer) -> list[Allow]:
    """Any image of AWS, the network of the account; and spot capacity, of which the account may never have had any."""
    public = [f"arn:{installer.partition}:ec2:{installer.region}::{kind}/*" for kind in ("image", "snapshot")]
    own = [installer.arn("ec2", f"{kind}/*") for kind in ("capacity-reservation", "security-group", "subnet")]
    spot = "role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
    return [
        Allow(
            actions=["ec2:CreateFleet", "ec2:RunInstances"],
            resources=[*public, *own],
            why="the NodeClass names them, and only with an instance that carries the cluster's tags",
        ),
        Allow(
            actions=["iam:CreateServiceLinkedRole"],
            resources=[f"arn:{installer.partition}:iam::{installer.account}:{spot}"],
            conditions={"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        ),
    ]


def _looking(installer: Installer) -> list[Allow]:
    describe = (
        "CapacityReservations Images InstanceStatus InstanceTypeOfferings InstanceTypes Instances LaunchTemplates "
        "PlacementGroups SecurityGroups SpotPriceHistory Subnets"
    )
    return [
        Allow(
            actions=[f"ec2:Describe{what}" for what in describe.split()],
            resources=["*"],
            conditions={"StringEquals": {"aws:RequestedRegion": installer.region}},
            why="EC2 knows no narrower one",
        ),
        Allow(actions=["pricing:GetProducts"], resources=["*"], why="the price list has no ARN"),
        Allow(actions=["iam:ListInstanceProfiles"], resources=["*"], why="IAM lists all profiles or none"),
        Allow(
            actions=["ssm:GetParameter"],
            resources=[f"arn:{installer.partition}:ssm:{installer.region}::parameter/aws/service/*"],
            why="AWS's own list of images",
        ),
    ]
