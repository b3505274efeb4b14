import re
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._functions.handler_function import HandlerFunction
from .._security.alarm_on_first import alarm_on_first
from .._storage.data_bucket import DataBucket
from .._storage.object_grants import grant_objects

METRICS = "MLPlatform/ModelRepository"

_MODEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ModelRepository(Construct):
    """A repository of model versions in a bucket: the bucket policy that makes versions immutable, and a check.

    A version is one document under ``<model>/versions/`` with the metadata and the checksums of its files under
    ``<model>/packages/``. The bucket policy denies all principals a write that could overwrite: a file or a new
    document needs ``If-None-Match``, a withdrawal ``If-Match``.

    A function checks the version of each created, changed or deleted object, and all versions once a day. It
    quarantines incomplete versions: readers refuse them, and an alarm is raised. It also deletes files of publishers
    that lost a race or were aborted.

    :param bucket: bucket of the versions, with ``events=True``.
    :param abandoned_days: age at which the files of an aborted publisher are deleted, 1 to 365. It is also the maximum
        duration of an upload. Default: 7.
    :param alarm_topic: receives alarms. Default: none; see ``alarms``.
    :param log_encryption_key: encrypts the function's log; its policy must admit CloudWatch Logs. Default:
        CloudWatch's own key.
    :param log_retention: how long the log is kept. Default: one year.
    :param removal_policy: removal policy of the log. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: DataBucket,
        abandoned_days: int = 7,
        alarm_topic: sns.ITopic | sns.Topic | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        if not is_token(abandoned_days) and not 1 <= abandoned_days <= 365:
            raise ConfigurationError(
                f"{self.node.path}: abandoned_days must be 1 to 365, got {abandoned_days}; "
                "younger files may be of a publisher still at work"
            )
        resource = bucket.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        if resource.notification_configuration is None:
            raise ConfigurationError(
                f"{self.node.path}: bucket {bucket.node.path} sends no events; create it with events=True"
            )

        self.bucket = bucket
        self._refuse_overwriting()
        log_group = logs.LogGroup(
            self, "Log", encryption_key=log_encryption_key, retention=log_retention, removal_policy=removal_policy
        )
        self._function = self._check(log_group, abandoned_days)
        self._run_check()
        self.alarms = self._alarms(alarm_topic)
        """Raised when a version is quarantined, and when the check itself fails."""

    @checked
    def grant_read(self, grantee: iam.IGrantable, *, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to list and read versions.

        :param model: the only model that it may read. Default: all models.
        """
        return self.bucket.grant_read(grantee, self._below(model, "*"))

    @checked
    def grant_publish(self, grantee: iam.IGrantable, *, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to read versions and publish new ones, but not to change, withdraw or delete one.

        :param model: the only model that it may publish. Default: all models.
        """
        documents = self._grant_objects(
            grantee,
            self._below(model, "versions/*.json"),
            "s3:PutObject",
            conditions={"Null": {"s3:if-none-match": "false"}},
        )
        files = self._grant_objects(
            grantee, self._below(model, "packages/*"), "s3:PutObject", "s3:AbortMultipartUpload"
        )
        # S3 decrypts the parts of a large upload to put them together.
        key = self.bucket.key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")
        return self.grant_read(grantee, model=model).combine(documents).combine(files).combine(key)

    @checked
    def grant_withdraw(self, grantee: iam.IGrantable, *, model: str | None = None) -> iam.Grant:
        """Allow ``grantee`` to read versions and to withdraw them permanently; the check then deletes their files.

        :param model: the only model whose versions it may withdraw. Default: all models.
        """
        documents = self._grant_objects(grantee, self._below(model, "versions/*.json"), "s3:PutObject")
        key = self.bucket.key.grant(grantee, "kms:GenerateDataKey")
        return self.grant_read(grantee, model=model).combine(documents).combine(key)

    def _below(self, model: str | None, path: str) -> str:
        if model is None:
            return path if path == "*" else f"*/{path}"
        if not is_token(model) and not _MODEL.fullmatch(model):
            raise ConfigurationError(
                f"{self.node.path}: model must be 1 to 63 lower-case letters, digits and hyphens, got {model!r}; "
                "leave it out for all models"
            )
        return f"{model}/{path}"

    def _grant_objects(
        self,
        grantee: iam.IGrantable,
        prefix: str,
        *actions: str,
        conditions: Mapping[str, Mapping[str, object]] | None = None,
    ) -> iam.Grant:
        return grant_objects(grantee, self.bucket.bucket, prefix, *actions, conditions=conditions)

    def _refuse_overwriting(self) -> None:
        """Parts of a large upload cannot carry a condition, the request that puts them together must.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        """
        create_only = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
        read_before = {"Null": {"s3:if-none-match": "true", "s3:if-match": "true"}}
        for sid, path, conditions in (
            ("FilesAreNeverOverwritten", "*/packages/*", create_only),
            ("VersionsAreNeverOverwrittenBlindly", "*/versions/*.json", read_before),
        ):
            self.bucket.bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["s3:PutObject"],
                    resources=[self.bucket.bucket.arn_for_objects(path)],
                    conditions=conditions,
                )
            )

    def _check(self, log_group: logs.LogGroup, abandoned_days: int) -> HandlerFunction:
        function = HandlerFunction(
            self,
            "Check",
            description="Checks that model versions are whole, and quarantines those that are not",
            folder=Path(__file__).parent / "model_check_handler",
            log_group=log_group,
            timeout=Duration.minutes(15),  # of which the daily check of all versions may need some
            memory_size=512,
            environment={
                "BUCKET": self.bucket.bucket.bucket_name,
                "ABANDONED_DAYS": str(abandoned_days),
                "METRIC_NAMESPACE": METRICS,
            },
        )
        role = function.execution_role
        self.bucket.grant_read(role)
        self._grant_objects(role, "*/versions/*", "s3:PutObject")
        self._grant_objects(role, "*/versions/*.quarantine", "s3:DeleteObject")
        self._grant_objects(role, "*/packages/*", "s3:DeleteObject")
        self.bucket.key.grant(role, "kms:GenerateDataKey")
        iam.Grant.add_to_principal(
            grantee=role, actions=["s3:ListBucketVersions"], resource_arns=[self.bucket.bucket.bucket_arn]
        )
        return function

    def _run_check(self) -> None:
        target = targets.LambdaFunction(self._function)
        keys = [{"wildcard": "*/versions/*.json"}, {"wildcard": "*/packages/*"}]
        changed = events.Rule(
            self,
            "Changed",
            description="An object of a model version was made or deleted",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created", "Object Deleted"],
                detail={"bucket": {"name": [self.bucket.bucket.bucket_name]}, "object": {"key": keys}},
            ),
            targets=[target],
        )
        # The bucket is emptied before its deletion; the check must not quarantine its versions then.
        changed.node.add_dependency(self.bucket)
        events.Rule(
            self,
            "Daily",
            description="All model versions are checked once a day",
            schedule=events.Schedule.rate(Duration.days(1)),
            targets=[target],
        )

    def _alarms(self, topic: sns.ITopic | None) -> tuple[cloudwatch.Alarm, cloudwatch.Alarm]:
        quarantined = cloudwatch.Metric(
            namespace=METRICS,
            metric_name="QuarantinedVersions",
            dimensions_map={"Bucket": self.bucket.bucket.bucket_name},
            statistic="Maximum",
            period=Duration.minutes(5),
        )
        failed = self._function.metric_errors(period=Duration.hours(1))
        alarms = (
            alarm_on_first(
                self, "Quarantined", quarantined, "A model version is not whole and must not be used; see the log."
            ),
            alarm_on_first(
                self, "Failed", failed, "The check of model versions fails; what is quarantined may be out of date."
            ),
        )
        if topic:
            for alarm in alarms:
                alarm.add_alarm_action(actions.SnsAction(topic))
        return alarms
