import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from aws_cdk import Acknowledgment, CfnResource, Duration, Stack, Token, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .._functions.handler_function import HandlerFunction
from .managed_node_groups import ManagedNodeGroup

_TOKEN = re.compile(r"\$\{Token\[AWS\.(\w+)[^]]*\]\}")


class NodeGroupSizes(Construct):
    """A custom resource that reads the number of nodes in each group before node groups are changed.

    EKS requires the desired size of a new group, and CloudFormation sends it again with every change of the group's
    limits. A fixed size would terminate nodes that the autoscaler added. A group that replaces another one starts with
    the same number of nodes. A group with accelerators starts with its minimum, because twice the number of
    accelerators is rarely available, and the autoscaler adds what pods request.

    https://docs.aws.amazon.com/eks/latest/APIReference/API_NodegroupScalingConfig.html

    :param cluster_name: token, so that this waits for the cluster.
    :param name: name of the cluster, known at synthesis.
    :param log_encryption_key: encrypts the function's log. Default: CloudWatch's own key.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster_name: str,
        name: str,
        groups: Sequence[ManagedNodeGroup],
        log_encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        function = HandlerFunction(
            self,
            "Function",
            description="Reports how many nodes the groups of a cluster have",
            folder=Path(__file__).parent / "node_group_sizes_handler",
            timeout=Duration.minutes(1),
            log_encryption_key=log_encryption_key,
        )
        self._allow(function, name)
        # What numbers depend on, and nothing else: a change here may send new numbers to every group.
        facts = [(group.key, group.revision, group.place, group.minimum, group.maximum) for group in groups]
        self._resource = CfnResource(
            self,
            "Resource",
            type="Custom::NodeGroupSizes",
            properties={
                "ServiceToken": function.function_arn,
                "ServiceTimeout": "120",
                "ClusterName": cluster_name,
                "Revision": sha256(json.dumps(facts).encode()).hexdigest()[:16],
                "Groups": [
                    {
                        "Key": group.key,
                        "Name": group.spec.name,
                        "Revision": group.revision,
                        "Subnets": group.subnet_ids,
                        "Min": str(group.minimum),
                        "Max": str(group.maximum),
                        "StartAtMinimum": str(bool(group.spec.instance.accelerators)).lower(),
                    }
                    for group in groups
                ],
            },
        )
        self._resource.node.add_dependency(function)
        self._logical_id = self._resource.logical_id

    def desired(self, group: ManagedNodeGroup) -> int | float:
        """Token for the number of its nodes."""
        return Token.as_number({"Fn::GetAtt": [self._logical_id, group.key]})

    def _allow(self, function: HandlerFunction, cluster: str) -> None:
        stack = Stack.of(self)
        clusters = stack.format_arn(service="eks", resource="cluster", resource_name=cluster)
        groups = stack.format_arn(service="eks", resource="nodegroup", resource_name=f"{cluster}/*")
        role = function.execution_role
        role.add_to_policy(
            iam.PolicyStatement(actions=["eks:ListNodegroups", "eks:DescribeNodegroup"], resources=[clusters, groups])
        )
        role.add_to_policy(iam.PolicyStatement(actions=["autoscaling:DescribeAutoScalingGroups"], resources=["*"]))
        found = _TOKEN.sub(r"<AWS::\1>", groups)
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]", reason="Auto Scaling has no resource to describe groups by"
            ),
            Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{found}]", reason="reads the node groups of one cluster"),
        )
