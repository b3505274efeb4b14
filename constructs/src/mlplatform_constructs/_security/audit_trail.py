from collections.abc import Sequence

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .alarm_on_first import alarm_on_first
from .alarm_topic import AlarmTopic

_NO_DEPLOYMENT = '($.userIdentity.invokedBy NOT EXISTS || $.userIdentity.invokedBy != "cloudformation.amazonaws.com")'
ROOT_USED = (
    '{ $.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != "AwsServiceEvent" }'
)
"""https://docs.aws.amazon.com/securityhub/latest/userguide/cloudwatch-controls.html#cloudwatch-1"""
KEY_CHANGED = (
    '{ $.eventSource = "kms.amazonaws.com" && ($.eventName = "DisableKey" || $.eventName = "ScheduleKeyDeletion" || '
    f'$.eventName = "DisableKeyRotation" || ($.eventName = "PutKeyPolicy" && {_NO_DEPLOYMENT})) }}'
)
TRAIL_CHANGED = (
    '{ $.eventSource = "cloudtrail.amazonaws.com" && ($.eventName = "StopLogging" || $.eventName = "DeleteTrail" || '
    f'(($.eventName = "UpdateTrail" || $.eventName = "PutEventSelectors") && {_NO_DEPLOYMENT})) }}'
)
METRICS = "MLPlatform/Audit"


class AuditTrail(Construct):
    """A CloudTrail trail of all Regions, its log, and alarms on events that should never happen.

    Management events of every region and, for the buckets given, every read and write of an object. Files are encrypted
    and carry digests, so that a changed or missing file can be found (``aws cloudtrail validate-logs``). An alarm is
    raised when root is used, a key's policy or life changes, or the trail itself is touched. A deployment may change a
    policy and what the trail records, since that was reviewed before; stopping a key or the trail always raises it.

    :param encryption_key: encrypts files, log group and alarm topic; its policy must admit CloudTrail and CloudWatch,
        as ``EncryptionKeys.logs`` does.
    :param recorded_buckets: buckets whose objects' reads and writes are recorded. CloudTrail bills each event, and
        CloudWatch Logs each gigabyte of them. Default: none.
    :param alarm_topic: receives alarms. Default: a new topic, found as ``topic``.
    :param log_retention: retention in CloudWatch Logs, where events can be searched. Default: one year.
    :param file_days: days in S3. Default: 2557, seven years.
    :param removal_policy: removal policy of files and log. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        encryption_key: kms.IKey | kms.Key,
        recorded_buckets: Sequence[s3.IBucket] = (),
        alarm_topic: sns.ITopic | sns.Topic | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        file_days: int = 2557,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not is_token(file_days) and file_days < 90:
            raise ConfigurationError(
                f"{self.node.path}: file_days must be 90 or more, got {file_days}; an audit looks back"
            )

        self.bucket = self._bucket(encryption_key, file_days, removal_policy)
        self.log_group = logs.LogGroup(
            self, "Log", encryption_key=encryption_key, retention=log_retention, removal_policy=removal_policy
        )
        self.topic = alarm_topic or AlarmTopic(self, "Alarms", encryption_key=encryption_key).topic
        self._trail(encryption_key, recorded_buckets)

        self._alarm(
            "RootUsed", ROOT_USED, "The root user was active. The platform never uses it: find out who signed in."
        )
        self._alarm("KeyChanged", KEY_CHANGED, "A KMS key's policy, rotation or life was changed.")
        self._alarm("TrailChanged", TRAIL_CHANGED, "The audit trail was stopped, deleted or given other selectors.")

    @checked
    def alarm_on_use_of(self, id: str, role: iam.IRole | iam.Role) -> cloudwatch.Alarm:
        """Raise an alarm whenever ``role`` is assumed; meant for emergency roles."""
        pattern = f'{{ $.eventName = "AssumeRole*" && $.requestParameters.roleArn = "{role.role_arn}" }}'
        return self._alarm(id, pattern, "An emergency role was assumed.")

    def _bucket(self, key: kms.IKey, file_days: int, removal_policy: RemovalPolicy) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Files",
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                    expiration=Duration.days(file_days),
                    noncurrent_version_expiration=Duration.days(90),
                )
            ],
            removal_policy=removal_policy,
            auto_delete_objects=removal_policy == RemovalPolicy.DESTROY,
        )
        Validations.of(bucket).acknowledge(
            Acknowledgment(id="AwsSolutions-S1", reason="the trail's digests prove that no file was changed or removed")
        )
        return bucket

    def _trail(self, key: kms.IKey, recorded: Sequence[s3.IBucket]) -> None:
        trails = f"arn:{Stack.of(self).partition}:cloudtrail:*:{Stack.of(self).account}:trail/*"
        service = iam.ServicePrincipal("cloudtrail.amazonaws.com")
        from_here = {"ArnLike": {"aws:SourceArn": trails}}
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[service],
                actions=["s3:GetBucketAcl"],
                resources=[self.bucket.bucket_arn],
                conditions=from_here,
            )
        )
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[service],
                actions=["s3:PutObject"],
                resources=[self.bucket.arn_for_objects(f"AWSLogs/{Stack.of(self).account}/*")],
                conditions={**from_here, "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}},
            )
        )
        role = iam.Role(self, "LogRole", assumed_by=service.with_conditions(from_here))
        self.log_group.grant_write(role)

        trail = cloudtrail.CfnTrail(
            self,
            "Trail",
            is_logging=True,
            s3_bucket_name=self.bucket.bucket_name,
            kms_key_id=key.key_arn,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            cloud_watch_logs_log_group_arn=self.log_group.log_group_arn,
            cloud_watch_logs_role_arn=role.role_arn,
            advanced_event_selectors=[_selector("Management"), *([_objects_of(recorded)] if recorded else [])],
        )
        trail.node.add_dependency(role, self.bucket)

    def _alarm(self, id: str, pattern: str, meaning: str) -> cloudwatch.Alarm:
        metric = logs.MetricFilter(
            self,
            f"{id}Filter",
            log_group=self.log_group,
            filter_pattern=logs.FilterPattern.literal(pattern),
            metric_namespace=METRICS,
            metric_name=f"{Stack.of(self).stack_name}-{id}",
        ).metric(statistic="Sum", period=Duration.minutes(5))
        alarm = alarm_on_first(self, id, metric, meaning)
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        return alarm


def _selector(
    category: str, *more: cloudtrail.CfnTrail.AdvancedFieldSelectorProperty
) -> cloudtrail.CfnTrail.AdvancedEventSelectorProperty:
    field = cloudtrail.CfnTrail.AdvancedFieldSelectorProperty(field="eventCategory", equal_to=[category])
    return cloudtrail.CfnTrail.AdvancedEventSelectorProperty(field_selectors=[field, *more])


def _objects_of(buckets: Sequence[s3.IBucket]) -> cloudtrail.CfnTrail.AdvancedEventSelectorProperty:
    return _selector(
        "Data",
        cloudtrail.CfnTrail.AdvancedFieldSelectorProperty(field="resources.type", equal_to=["AWS::S3::Object"]),
        cloudtrail.CfnTrail.AdvancedFieldSelectorProperty(
            field="resources.ARN", starts_with=[f"{bucket.bucket_arn}/" for bucket in buckets]
        ),
    )
