"""How many nodes a group is to have when CloudFormation changes it: as many as it has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from aws_cdk import Acknowledgment, CfnResource, Duration, RemovalPolicy, Stack, Token, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from ._handler_code import handler_code
from ._node_group import NodeGroupSpec

_TOKEN = re.compile(r"\$\{Token\[AWS\.(\w+)[^]]*\]\}")


@dataclass(frozen=True)
class PlacedGroup:
    """A node group where it runs.

    :param place: the zone, or a word for all zones.
    """

    spec: NodeGroupSpec
    place: str
    subnets: tuple[str, ...]

    @property
    def key(self) -> str:
        """Unique in the cluster, of letters and digits: ``SystemUsEast1a``."""
        return "".join(word.capitalize() for word in re.split(r"\W+", f"{self.spec.name}-{self.place}"))

    @property
    def least(self) -> int:
        """Nodes in all its subnets at least."""
        return self.spec.min_per_zone * len(self.subnets)

    @property
    def most(self) -> int:
        """Nodes in all its subnets at most."""
        return self.spec.max_per_zone * len(self.subnets)


class NodeGroupSizes(Construct):
    """Asks, before node groups are changed, how many nodes each has.

    EKS wants the number of nodes of a new group, and CloudFormation sends it again with every change of the group's
    limits. A fixed one would take away the nodes that the autoscaler added.

    https://docs.aws.amazon.com/eks/latest/APIReference/API_NodegroupScalingConfig.html

    :param cluster_name: token that stands for the cluster, so that this waits for it.
    :param name: of the cluster, known at synthesis.
    :param log_encryption_key: encrypts the function's log. Default: CloudWatch's own key.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster_name: str,
        name: str,
        groups: Sequence[PlacedGroup],
        log_encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self,
            "Log",
            encryption_key=log_encryption_key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        function = lambda_.Function(
            self,
            "Function",
            description="Tells how many nodes the groups of a cluster have",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=handler_code("node_group_sizes"),
            handler="handlers.node_group_sizes.index.handler",
            role=self._role(name, log_group),
            log_group=log_group,
            timeout=Duration.minutes(1),
        )
        self._resource = CfnResource(
            self,
            "Resource",
            type="Custom::NodeGroupSizes",
            properties={
                "ServiceToken": function.function_arn,
                "ServiceTimeout": "120",
                "ClusterName": cluster_name,
                # Any change of a group asks again; else CloudFormation would send the numbers of the last time.
                "Revision": sha256(repr([(group.place, group.spec) for group in groups]).encode()).hexdigest()[:16],
                "Groups": [
                    {
                        "Key": group.key,
                        "Name": group.spec.name,
                        "Subnets": list(group.subnets),
                        "Min": str(group.least),
                        "Max": str(group.most),
                    }
                    for group in groups
                ],
            },
        )
        self._resource.node.add_dependency(function)
        self._logical_id = self._resource.logical_id

    def desired(self, group: PlacedGroup) -> int | float:
        """Token for the number of its nodes."""
        return Token.as_number({"Fn::GetAtt": [self._logical_id, group.key]})

    def _role(self, cluster: str, log_group: logs.LogGroup) -> iam.Role:
        stack = Stack.of(self)
        clusters = stack.format_arn(service="eks", resource="cluster", resource_name=cluster)
        groups = stack.format_arn(service="eks", resource="nodegroup", resource_name=f"{cluster}/*")
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        role.add_to_policy(
            iam.PolicyStatement(actions=["eks:ListNodegroups", "eks:DescribeNodegroup"], resources=[clusters, groups])
        )
        role.add_to_policy(iam.PolicyStatement(actions=["autoscaling:DescribeAutoScalingGroups"], resources=["*"]))
        found = _TOKEN.sub(r"<AWS::\1>", groups)
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]", reason="Auto Scaling knows no narrower one to describe"
            ),
            Acknowledgment(
                id=f"AwsSolutions-IAM5[Resource::{found}]", reason="the node groups of one cluster, to look at"
            ),
        )
        return role
