"""The stream of a feature group's events and the function that turns them into features."""

import json
from pathlib import Path

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from .._functions.handler_function import HandlerFunction
from .._security.alarm_on_first import alarm_on_first
from .feature_group import FeatureGroup

RETENTION = Duration.hours(48)
"""A failed batch is known by its sequence numbers only; its records have to be fetched from the stream by then."""
TIMEOUT_SECONDS = 60


class EventProcessor(Construct):
    """A Kinesis stream, its Lambda function, the table that it writes, and the queue of rejected records.

    One record never holds a shard up: a malformed one becomes a dead letter at once; a batch that fails is halved until
    the culprit is alone, which is tried 20 times or until it is a day old and then reported to the same queue.

    :param group: defines events and features.
    :param key: encrypts stream, table and queue.
    :param archive: the Firehose stream that keeps events for the offline features; None in a group without them.
    :param shard_count: shards of the stream, each for 1,000 events or 1 MB a second.
    :param log_group: the function's log.
    :param removal_policy: removal policy of stream, table and queue.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        group: FeatureGroup,
        key: kms.IKey,
        archive: firehose.CfnDeliveryStream | None,
        shard_count: int,
        log_group: logs.LogGroup,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self.stream = kinesis.Stream(
            self,
            "Stream",
            shard_count=shard_count,
            retention_period=RETENTION,
            encryption=kinesis.StreamEncryption.KMS,
            encryption_key=key,
            removal_policy=removal_policy,
        )
        Validations.of(self.stream).acknowledge(
            Acknowledgment(id="AwsSolutions-KDS3", reason="the key is the platform's own, so that access can be taken")
        )
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            removal_policy=removal_policy,
        )
        Validations.of(self.dead_letters).acknowledge(
            Acknowledgment(id="AwsSolutions-SQS3", reason="this is the dead-letter queue; people read it")
        )
        self.table = self._table(key, removal_policy) if group.online else None
        self._function = self._processor(group, key, archive, log_group)
        self._map()
        self.alarms = self._alarms(group)

    def _table(self, key: kms.IKey, removal_policy: RemovalPolicy) -> dynamodb.Table:
        return dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="entity", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="bucket", type=dynamodb.AttributeType.NUMBER),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key,
            time_to_live_attribute="expires_at",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=removal_policy != RemovalPolicy.DESTROY,
            removal_policy=removal_policy,
        )

    def _processor(
        self,
        group: FeatureGroup,
        key: kms.IKey,
        archive: firehose.CfnDeliveryStream | None,
        log_group: logs.LogGroup,
    ) -> HandlerFunction:
        environment = {
            "FEATURE_GROUP": json.dumps(group.to_spec(), sort_keys=True),
            "DEAD_LETTERS": self.dead_letters.queue_url,
        }
        access = {
            self.stream.stream_arn: [
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            ],
            self.dead_letters.queue_arn: ["sqs:SendMessage"],
            key.key_arn: ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
        }
        if self.table:
            environment["TABLE"] = self.table.table_name
            access[self.table.table_arn] = ["dynamodb:UpdateItem"]
        if archive:
            environment["ARCHIVE"] = archive.ref
            access[archive.attr_arn] = ["firehose:PutRecordBatch"]
        function = HandlerFunction(
            self,
            "Function",
            description=f"Turns the events of {group.name} into features",
            folder=Path(__file__).parent / "feature_processor_handler",
            log_group=log_group,
            timeout=Duration.seconds(TIMEOUT_SECONDS),
            memory_size=256,
            environment=environment,
        )
        for arn, actions in access.items():
            iam.Grant.add_to_principal(grantee=function, actions=actions, resource_arns=[arn])
        return function

    def _map(self) -> None:
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            event_source_arn=self.stream.stream_arn,
            function_name=self._function.function_name,
            starting_position="TRIM_HORIZON",
            batch_size=200,
            maximum_batching_window_in_seconds=1,
            parallelization_factor=5,  # one batch writes some 250 events a second, a shard takes 1,000
            function_response_types=["ReportBatchItemFailures"],
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=20,
            maximum_record_age_in_seconds=24 * 60 * 60,
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=self.dead_letters.queue_arn)
            ),
        )
        # Lambda tests the role when the mapping is created.
        mapping.node.add_dependency(self._function)

    def _alarms(self, group: FeatureGroup) -> tuple[cloudwatch.Alarm, cloudwatch.Alarm]:
        age = self._function.metric("IteratorAge", statistic="Maximum", period=Duration.minutes(1))
        letters = self.dead_letters.metric_approximate_number_of_messages_visible(
            statistic="Maximum", period=Duration.minutes(5)
        )
        return (
            cloudwatch.Alarm(
                self,
                "NotFresh",
                metric=age,
                threshold=group.freshness.total_seconds() * 1000,
                evaluation_periods=3,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
                alarm_description=(
                    f"Events of {group.name} take more than {group.freshness.total_seconds():g} seconds "
                    "to become features."
                ),
            ),
            alarm_on_first(
                self,
                "DeadLetter",
                letters,
                f"Events of {group.name} were rejected; each message in the queue has the reason.",
            ),
        )
