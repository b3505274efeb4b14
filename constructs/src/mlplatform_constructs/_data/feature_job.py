"""The job that recomputes a group's offline features: a schedule, a state machine, and Athena doing the work."""

import json
from datetime import timedelta
from typing import Any

from aws_cdk import Acknowledgment, Duration, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from .._security.alarm_on_first import alarm_on_first
from .._security.service_principal import service_principal
from .._storage.data_bucket import DataBucket
from .feature_catalog import FeatureCatalog
from .feature_group import FeatureGroup
from .feature_sql import AS_OF, PARTITION, RUN, add_partition, move_partition, unload_features

START_MINUTE = 15
"""The job starts this many minutes after its windows end, when Firehose has delivered their events."""
STATEMENTS = ("Write", "Add", "Move")


class FeatureJob(Construct):
    """Computes one partition a run, on a schedule or whenever it is started with ``{"as_of": "2026-07-13T06:00:00Z"}``.

    A run writes into a folder that no other run has, and points the partition to it when all is written. So runs of
    the same partition may fail, repeat and overlap: readers see one of them, whole.

    :param group: what is computed, and how often.
    :param catalog: has the tables and runs the queries.
    :param bucket: has the files.
    :param log_group: of the job's steps.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        group: FeatureGroup,
        catalog: FeatureCatalog,
        bucket: DataBucket,
        log_group: logs.LogGroup,
    ) -> None:
        super().__init__(scope, id)
        role = self._role(group, catalog, bucket)
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            comment=f"Recomputes {group.name}",
            definition_body=sfn.DefinitionBody.from_string(Stack.of(self).to_json_string(_definition(group, catalog))),
            role=role,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL, include_execution_data=True),
            tracing_enabled=True,
        )
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="log deliveries and traces have no resource that a policy could name",
            )
        )
        self._schedule(group)
        self.alarms = self._alarms(group)

    def _role(self, group: FeatureGroup, catalog: FeatureCatalog, bucket: DataBucket) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=service_principal(self, "states.amazonaws.com"))
        bucket.grant_read(role, f"events/{group.name}/*")
        bucket.grant_read(role, f"offline/{group.name}/*")
        bucket.grant_write(role, f"offline/{group.name}/*")
        catalog.grant_uploads(role, bucket)
        catalog.grant_run(role, group.name, group.events_table)
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["glue:BatchCreatePartition", "glue:CreatePartition", "glue:UpdatePartition"],
            resource_arns=catalog.table_arns(group.name),
        )
        return role

    def _schedule(self, group: FeatureGroup) -> None:
        role = iam.Role(
            self,
            "ScheduleRole",
            assumed_by=service_principal(self, "scheduler.amazonaws.com"),
        )
        start = iam.Grant.add_to_principal(
            grantee=role, actions=["states:StartExecution"], resource_arns=[self.state_machine.state_machine_arn]
        )
        hours = ",".join(str(hour) for hour in range(0, 24, _hours(group)))
        schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            description=f"Recomputes {group.name} every {_hours(group)} hours",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            schedule_expression=f"cron({START_MINUTE} {hours} * * ? *)",
            schedule_expression_timezone="UTC",
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.state_machine.state_machine_arn,
                role_arn=role.role_arn,
                input=json.dumps({"as_of": "<aws.scheduler.scheduled-time>"}),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3600, maximum_retry_attempts=10
                ),
            ),
        )
        start.apply_before(schedule)

    def _alarms(self, group: FeatureGroup) -> tuple[cloudwatch.Alarm, cloudwatch.Alarm]:
        failed = self.state_machine.metric_failed(statistic="Sum", period=Duration.minutes(5))
        succeeded = self.state_machine.metric_succeeded(statistic="Sum", period=Duration.hours(1))
        return (
            alarm_on_first(
                self,
                "Failed",
                failed,
                f"{group.name} could not be recomputed, after retries; readers have the last run.",
            ),
            cloudwatch.Alarm(
                self,
                "Overdue",
                metric=succeeded,
                threshold=1,
                evaluation_periods=_hours(group) + 1,
                comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
                # Before its first run a job is not overdue: an alarm there would stop every first deployment.
                treat_missing_data=cloudwatch.TreatMissingData.MISSING,
                alarm_description=f"{group.name} was not recomputed for more than {_hours(group)} hours.",
            ),
        )


def _hours(group: FeatureGroup) -> int:
    return group.refresh // timedelta(hours=1)


def _definition(group: FeatureGroup, catalog: FeatureCatalog) -> dict[str, Any]:
    """The state machine, in the Amazon States Language with JSONata.

    The three statements are one branch, so that a retry begins with a new folder: Athena neither cleans up after a
    failed statement nor writes where there is something already.
    """
    folder = catalog.folder("offline", group)
    hour = "$fromMillis($toMillis($states.input.as_of), '[Y0001]-[M01]-[D01]{}[H01]{}')"
    begin = {
        "Type": "Pass",
        "Assign": {
            "as_of": f"{{% {hour.format(' ', ':00:00')} %}}",
            "partition": f"{{% {hour.format('-', '')} %}}",
            "run": "{% $uuid() %}",
            "Write": unload_features(group, folder),
            "Add": add_partition(group, folder),
            "Move": move_partition(group, folder),
        },
        "Next": STATEMENTS[0],
    }
    states: dict[str, Any] = {"Begin": begin}
    for statement, following in zip(STATEMENTS, [*STATEMENTS[1:], None], strict=True):
        states[statement] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::athena:startQueryExecution.sync",
            "TimeoutSeconds": 3600,
            "Arguments": {
                "QueryString": (
                    f"{{% $replace($replace($replace(${statement}, '{AS_OF}', $as_of), "
                    f"'{PARTITION}', $partition), '{RUN}', $run) %}}"
                ),
                "QueryExecutionContext": {"Catalog": "AwsDataCatalog", "Database": catalog.database_name},
                "WorkGroup": catalog.work_group_name,
            },
            **({"Next": following} if following else {"End": True}),
        }
    retry = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "BackoffRate": 2, "MaxAttempts": 3}
    recompute = {
        "Type": "Parallel",
        "Branches": [{"StartAt": "Begin", "States": states}],
        "Retry": [retry],
        "End": True,
    }
    return {"QueryLanguage": "JSONata", "StartAt": "Recompute", "States": {"Recompute": recompute}}
