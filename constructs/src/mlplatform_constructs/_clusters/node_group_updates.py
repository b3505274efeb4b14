import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from aws_cdk import Acknowledgment, Duration, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._functions.handler_function import HandlerFunction
from .kubernetes_release import AMI_TYPES
from .managed_node_groups import ManagedNodeGroup

WEEKLY = "cron(0/30 1-6 ? * SUN *)"
"""Twice an hour in the early hours of Sunday, UTC: up to twelve groups."""
_METRIC_NAMESPACE = "MLPlatform/Nodes"
_METRIC = "OutdatedNodeGroups"
_REPORT = "cron(0 12 * * ? *)"


class NodeGroupUpdates(Construct):
    """A schedule that moves node groups to the minor of their control plane and to the newest release of their image.

    CloudFormation has no part in it: its update of a node group cannot be rolled back, and would leave the stack in
    ``UPDATE_ROLLBACK_FAILED``. Here a group that cannot be updated keeps its nodes, and is tried again.

    - ``outdated``: metric of the number of groups that are behind, reported every day and at every update; its least
      value in a week.
    - ``errors``: metric of failed calls.

    :param name: of the cluster, known at synthesis.
    :param schedule: when to start an update of the next group, as a schedule expression of EventBridge.
    :param alarm_topic: receives an alarm when groups have been behind in all reports of a week, or the function
        fails. Default: no alarms.
    :param log_encryption_key: encrypts the function's log. Default: CloudWatch's own key.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        groups: Sequence[ManagedNodeGroup],
        schedule: str,
        alarm_topic: sns.ITopic | None = None,
        log_encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        images = sorted({group.spec.image for group in groups if group.spec.image})
        function = HandlerFunction(
            self,
            "Function",
            description="Updates node groups to the newest image of the cluster's Kubernetes minor, one at a time",
            folder=Path(__file__).parent / "node_group_updates_handler",
            timeout=Duration.minutes(2),
            environment={
                "CLUSTER": name,
                "METRIC": _METRIC,
                "METRIC_NAMESPACE": _METRIC_NAMESPACE,
                "RELEASE_PARAMETERS": json.dumps({image: AMI_TYPES[image].release_parameter for image in images}),
            },
            log_encryption_key=log_encryption_key,
        )
        self._allow(function.execution_role, name, groups)
        for rule_id, expression, update in (("Update", schedule, True), ("Report", _REPORT, False)):
            events.Rule(
                self,
                rule_id,
                description=f"{self.node.path}: {rule_id.lower()} node groups",
                schedule=events.Schedule.expression(expression),
                targets=[
                    targets.LambdaFunction(
                        function, event=events.RuleTargetInput.from_object({"update": update}), retry_attempts=2
                    )
                ],
            )
        self.errors = function.metric_errors(period=Duration.days(1))
        self.outdated = cloudwatch.Metric(
            namespace=_METRIC_NAMESPACE,
            metric_name=_METRIC,
            dimensions_map={"Cluster": name},
            statistic="Minimum",
            period=Duration.days(7),
        )
        if alarm_topic:
            self._alarm(alarm_topic)

    def _alarm(self, topic: sns.ITopic) -> None:
        """The longest time that an alarm can look at is a week, which holds one Sunday and seven reports.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
        """
        for id, metric, about in (
            ("Outdated", self.outdated, "nodes have had an old image for a week"),
            ("Failed", self.errors, "the function that updates nodes fails; see its log"),
        ):
            alarm = metric.create_alarm(
                self,
                id,
                alarm_description=f"{self.node.path}: {about}",
                threshold=1,
                evaluation_periods=1,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            alarm.add_alarm_action(cast(cloudwatch.IAlarmAction, actions.SnsAction(topic)))

    def _allow(self, role: iam.Role, cluster: str, groups: Sequence[ManagedNodeGroup]) -> None:
        """EKS dry-runs the launch with the caller's permissions, which must therefore cover the launch templates."""
        stack = Stack.of(self)
        owned = stack.format_arn(service="eks", resource="nodegroup", resource_name=f"{cluster}/*")
        clusters = stack.format_arn(service="eks", resource="cluster", resource_name=cluster)
        images = [
            stack.format_arn(service="ssm", account="", resource="parameter", resource_name=f"aws/service/{path}/*")
            for path in ("eks/optimized-ami", "bottlerocket")
        ]
        templates = {
            stack.format_arn(service="ec2", resource="launch-template", resource_name=group.launch_template.ref): None
            for group in groups
        }
        for statement in (
            iam.PolicyStatement(actions=["eks:DescribeCluster", "eks:ListNodegroups"], resources=[clusters]),
            iam.PolicyStatement(actions=["eks:DescribeNodegroup", "eks:UpdateNodegroupVersion"], resources=[owned]),
            iam.PolicyStatement(actions=["ssm:GetParameter"], resources=images),
            iam.PolicyStatement(actions=["ec2:DescribeLaunchTemplateVersions"], resources=["*"]),
            iam.PolicyStatement(
                actions=["ec2:RunInstances"],
                resources=["*"],
                conditions={
                    "ArnEquals": {"ec2:LaunchTemplate": list(templates)},
                    "Bool": {"ec2:IsLaunchTemplateResource": "true"},
                },
            ),
            iam.PolicyStatement(  # the tags that the templates name
                actions=["ec2:CreateTags"],
                resources=["*"],
                conditions={"StringEquals": {"ec2:CreateAction": "RunInstances"}},
            ),
        ):
            role.add_to_policy(statement)
        reasons = {
            "*": "launches only from the launch templates of this cluster; listing versions supports no resource",
            owned: "the node groups of one cluster",
            **{image: "public parameters of AWS" for image in images},
        }
        resolved = {_readable(stack, resource): reason for resource, reason in reasons.items()}
        Validations.of(role).acknowledge(
            *(
                Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{resource}]", reason=reason)
                for resource, reason in resolved.items()
            )
        )


def _readable(stack: Stack, arn: str) -> str:
    """An ARN as the compliance pack writes it: ``<AWS::Partition>`` for a reference."""
    parts = stack.resolve(arn)
    if isinstance(parts, str):
        return parts
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts["Fn::Join"][1])
