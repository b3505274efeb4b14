import json
from collections.abc import Sequence

from aws_cdk import Aws, Fn, Names, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket
from .event_archive import EventArchive
from .event_processor import EventProcessor
from .feature_catalog import FeatureCatalog
from .feature_group import FeatureGroup
from .feature_job import FeatureJob

MAX_SPEC_BYTES = 3072
"""Of the 4 kB that the environment of a Lambda function may have."""


class FeatureStore(Construct):
    """Features that teams share: computed once from events, offline for training and online for serving.

    Each group has a Kinesis stream. A function checks its events, adds them to the online features in DynamoDB within
    ``group.freshness``, and keeps them as Parquet; from there Athena recomputes the offline features every
    ``group.refresh``. Both sides count an event once, however often it is delivered.

    Data stays by default, and nothing runs on a server. Everything is encrypted with the key of ``bucket``.

    :param bucket: holds events and offline features, below ``events/`` and ``offline/``.
    :param groups: the feature groups, with unique names.
    :param access_logs: where S3 records who read an answer of Athena. Default: a new bucket.
    :param shard_count: shards of each group's stream; one takes 1,000 events or 1 MB a second. An update may at most
        double or halve it, which is what Kinesis does in one step. Default: 1.
    :param scan_limit_gib: a query that has read this much is stopped. Default: 100.
    :param result_days: how long answers of Athena are kept. Default: 7.
    :param alarm_topic: receives alarms. Default: none; see ``alarms``.
    :param log_encryption_key: encrypts logs; its policy must admit CloudWatch Logs. Default: CloudWatch's own key.
    :param log_retention: how long logs are kept. Default: one year.
    :param removal_policy: removal policy of tables, streams, answers and logs. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: DataBucket,
        groups: Sequence[FeatureGroup],
        access_logs: AccessLogBucket | None = None,
        shard_count: int = 1,
        scan_limit_gib: int = 100,
        result_days: int = 7,
        alarm_topic: sns.ITopic | sns.Topic | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check_groups(groups)
        for name, number in {
            "shard_count": shard_count,
            "scan_limit_gib": scan_limit_gib,
            "result_days": result_days,
        }.items():
            if not is_token(number) and number < 1:
                raise ConfigurationError(f"{self.node.path}: {name} must be 1 or more, got {number}")

        self.bucket = bucket
        self.groups = tuple(groups)
        self._log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=self._log_group_name(),
            encryption_key=log_encryption_key,
            retention=log_retention,
            removal_policy=removal_policy,
        )
        self.catalog = FeatureCatalog(
            self,
            "Catalog",
            bucket=bucket,
            access_logs=access_logs,
            scan_limit_gib=scan_limit_gib,
            result_days=result_days,
            removal_policy=removal_policy,
        )
        self._processors: dict[str, EventProcessor] = {}
        self._alarms: list[cloudwatch.Alarm] = []
        for group in groups:
            self._add(group, shard_count, removal_policy)
        if alarm_topic:
            for alarm in self._alarms:
                alarm.add_alarm_action(actions.SnsAction(alarm_topic))
                alarm.add_insufficient_data_action(actions.SnsAction(alarm_topic))  # how a job that stopped shows

    @property
    def database_name(self) -> str:
        """Glue database that has a table for each group, and for its events."""
        return self.catalog.database_name

    @property
    def work_group_name(self) -> str:
        """Athena work group that queries of features have to run in."""
        return self.catalog.work_group_name

    @property
    def alarms(self) -> tuple[cloudwatch.Alarm, ...]:
        """Of every group: events too old when they become features, dead letters, jobs that failed or are overdue."""
        return tuple(self._alarms)

    @checked
    def stream(self, group: FeatureGroup) -> kinesis.Stream:
        """Where producers put the events of a group."""
        return self._processor(group).stream

    @checked
    def table(self, group: FeatureGroup) -> dynamodb.Table:
        """Where the online features of a group are."""
        table = self._processor(group).table
        if table is None:
            raise ConfigurationError(
                f"{self.node.path}: group {group.name!r} has no online features; name one that has"
            )
        return table

    @checked
    def grant_read_offline(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow ``grantee`` to query the offline features of all groups in Athena, and read their files."""
        tables = [group.name for group in self.groups if group.offline]
        return self.catalog.grant_query(grantee, *tables).combine(self.bucket.grant_read(grantee, "offline/*"))

    @checked
    def grant_read_online(self, grantee: iam.IGrantable, *, group: FeatureGroup | None = None) -> iam.Grant:
        """Allow ``grantee`` to read online features.

        :param group: the only group that it may read. Default: all groups that have online features.
        """
        tables = [self.table(one) for one in ([group] if group else self.groups) if one.online or group]
        reading = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"]
        return _combined(
            [self.bucket.key.grant(grantee, "kms:Decrypt")],
            [table.grant(grantee, *reading) for table in tables],
        )

    @checked
    def grant_put_events(self, grantee: iam.IGrantable, *, group: FeatureGroup | None = None) -> iam.Grant:
        """Allow ``grantee`` to put events into the streams.

        :param group: the only group that it may feed. Default: all groups.
        """
        streams = [self.stream(one) for one in ([group] if group else self.groups)]
        return _combined(
            [self.bucket.key.grant(grantee, "kms:GenerateDataKey")],
            [stream.grant(grantee, "kinesis:PutRecord", "kinesis:PutRecords") for stream in streams],
        )

    def _log_group_name(self) -> str:
        """Under any other name, Step Functions would add the group to a policy of the account that is soon full.

        The stack's id avoids a name clash with the retained log of an earlier stack of the same name.
        https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
        """
        stack = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        return f"/aws/vendedlogs/states/{Names.unique_resource_name(self, max_length=80, separator='-')}-{stack}"

    def _processor(self, group: FeatureGroup) -> EventProcessor:
        if group not in self.groups:
            there = ", ".join(repr(one.name) for one in self.groups)
            raise ConfigurationError(f"{self.node.path}: group {group.name!r} is not in this store; there are: {there}")
        return self._processors[group.name]

    def _check_groups(self, groups: Sequence[FeatureGroup]) -> None:
        names = [group.name for group in groups]
        if not names:
            raise ConfigurationError(
                f"{self.node.path}: groups must be one or more, got none; a store without groups is empty"
            )
        tables = [*names, *(group.events_table for group in groups)]
        for name in sorted({name for name in tables if tables.count(name) > 1}):
            raise ConfigurationError(f"{self.node.path}: group name {name!r} is used twice; rename one group")
        for group in groups:
            if len(json.dumps(group.to_spec())) > MAX_SPEC_BYTES:
                raise ConfigurationError(
                    f"{self.node.path}: group {group.name!r} has more online features than its function holds; "
                    "make two groups of it"
                )

    def _add(self, group: FeatureGroup, shard_count: int, removal_policy: RemovalPolicy) -> None:
        place = Construct(self, group.name)
        archive: EventArchive | None = None
        if group.offline:
            self.catalog.add_features_table(group)
            archive = EventArchive(
                place,
                "Archive",
                group=group,
                catalog=self.catalog,
                table=self.catalog.add_events_table(group),
                bucket=self.bucket,
                log_group=self._log_group,
                removal_policy=removal_policy,
            )
            job = FeatureJob(
                place, "Job", group=group, catalog=self.catalog, bucket=self.bucket, log_group=self._log_group
            )
            self._alarms += job.alarms
        processor = EventProcessor(
            place,
            "Events",
            group=group,
            key=self.bucket.key,
            archive=archive.stream if archive else None,
            shard_count=shard_count,
            log_group=self._log_group,
            removal_policy=removal_policy,
        )
        self._alarms += processor.alarms
        self._processors[group.name] = processor


def _combined(*grants: Sequence[iam.Grant]) -> iam.Grant:
    first, *rest = [grant for some in grants for grant in some]
    for grant in rest:
        first = first.combine(grant)
    return first
