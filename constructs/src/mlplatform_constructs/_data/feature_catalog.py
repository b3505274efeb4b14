"""The catalog and queries of offline features: a Glue database, an Athena workgroup, a bucket for results."""

from collections.abc import Mapping

from aws_cdk import Names, RemovalPolicy, Stack
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from constructs import Construct

from .._security.account_grant import grant_in_account
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket
from .feature_group import EVENT_PARTITION, FEATURE_PARTITION, FeatureGroup, FeatureType

GIB = 1024**3

_HIVE = "org.apache.hadoop.hive.ql.io.parquet"


class FeatureCatalog(Construct):
    """The tables of all feature groups, and bounded, encrypted queries of them.

    :param bucket: holds events below ``events/<group>/`` and features below ``offline/<group>/``; its key encrypts what
        queries answer.
    :param access_logs: where S3 records who read an answer.
    :param scan_limit_gib: Athena stops a query that has read this much.
    :param result_days: how long answers are kept.
    :param removal_policy: removal policy of the answers.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        bucket: DataBucket,
        access_logs: AccessLogBucket | None,
        scan_limit_gib: int,
        result_days: int,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        self.account, self.region, self._partition = stack.account, stack.region, stack.partition
        self._bucket_name = bucket.bucket.bucket_name
        self.results = DataBucket(
            self,
            "Results",
            encryption_key=bucket.key,
            access_logs=access_logs,
            restore_days=1,
            tiering_days=0,
            expiration_days=result_days,
            removal_policy=removal_policy,
        )
        # Both services want a name. It is made of the path, so that two stages in one account do not meet.
        self.name = Names.unique_resource_name(scope, max_length=64, separator="_").lower()
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=self.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=self.name, description="Features of the machine-learning platform and the events behind them"
            ),
        )
        self.database_name = database.ref
        """Glue database of all tables."""
        self.work_group_name = self._work_group(scan_limit_gib).ref
        """Athena work group that queries have to run in."""

    def add_events_table(self, group: FeatureGroup) -> glue.CfnTable:
        """A folder for each day of arrival; Athena computes which there are (partition projection)."""
        folder = self.folder("events", group)
        day = f"projection.{EVENT_PARTITION}"
        return self._table(
            group.events_table,
            group.event_columns,
            EVENT_PARTITION,
            folder,
            {
                "projection.enabled": "true",
                f"{day}.type": "date",
                f"{day}.format": "yyyy-MM-dd",
                f"{day}.range": "NOW-5YEARS,NOW+1DAYS",
                f"{day}.interval": "1",
                f"{day}.interval.unit": "DAYS",
                "storage.location.template": f"{folder}/{EVENT_PARTITION}=${{{EVENT_PARTITION}}}/",
            },
        )

    def add_features_table(self, group: FeatureGroup) -> glue.CfnTable:
        """Partitions that the job registers: each points to a finished run, for Spark as well as for Athena."""
        return self._table(group.name, group.feature_columns, FEATURE_PARTITION, self.folder("offline", group), {})

    def folder(self, kind: str, group: FeatureGroup) -> str:
        """Where a group's ``events`` or ``offline`` features are, without a slash at the end."""
        return f"s3://{self._bucket_name}/{kind}/{group.name}"

    def grant_query(self, grantee: iam.IGrantable, *tables: str) -> iam.Grant:
        """Allow ``grantee`` to run queries, read answers and look up ``tables``; their files are another grant."""
        reading = grant_in_account(
            self,
            grantee,
            actions=["athena:GetQueryResults", "athena:GetWorkGroup"],
            resources=[self._arn("athena", f"workgroup/{self.name}")],
        )
        return self.grant_run(grantee, *tables).combine(reading)

    def grant_run(self, grantee: iam.IGrantable, *tables: str) -> iam.Grant:
        """Allow ``grantee`` to run queries of ``tables`` and wait for them; reading their files is another grant.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html
        """
        running = grant_in_account(
            self,
            grantee,
            actions=[
                "athena:GetDataCatalog",
                "athena:GetQueryExecution",
                "athena:StartQueryExecution",
                "athena:StopQueryExecution",
            ],
            resources=[
                self._arn("athena", f"workgroup/{self.name}"),
                self._arn("athena", "datacatalog/AwsDataCatalog"),
            ],
        )
        looking_up = grant_in_account(
            self,
            grantee,
            actions=[
                "glue:GetDatabase",
                "glue:GetTable",
                "glue:GetPartition",
                "glue:GetPartitions",
                "glue:BatchGetPartition",
            ],
            resources=[*self.table_arns(*tables), self._arn("glue", "database/default")],  # Athena insists on it
        )
        answers = self.results.grant_read(grantee).combine(self.results.grant_write(grantee))
        answers = answers.combine(self.grant_uploads(grantee, self.results))
        return running.combine(looking_up).combine(answers)

    def grant_uploads(self, grantee: iam.IGrantable, bucket: DataBucket) -> iam.Grant:
        """The permissions that Athena needs for multipart uploads, in addition to writing objects.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-athena.html
        """
        return grant_in_account(
            self, grantee, actions=["s3:ListBucketMultipartUploads"], resources=[bucket.bucket.bucket_arn]
        )

    def table_arns(self, *tables: str) -> list[str]:
        """The resources of a permission on ``tables``: the tables, their database and the catalog."""
        names = ["catalog", f"database/{self.name}", *(f"table/{self.name}/{table}" for table in tables)]
        return [self._arn("glue", name) for name in names]

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self._partition}:{service}:{self.region}:{self.account}:{resource}"

    def _work_group(self, scan_limit_gib: int) -> athena.CfnWorkGroup:
        group = athena.CfnWorkGroup
        return group(
            self,
            "WorkGroup",
            name=self.name,
            description="Queries of features: encrypted answers that expire, a limit on what one query reads",
            recursive_delete_option=True,  # a group with a history could not go otherwise
            work_group_configuration=group.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                bytes_scanned_cutoff_per_query=scan_limit_gib * GIB,
                publish_cloud_watch_metrics_enabled=True,
                engine_version=group.EngineVersionProperty(selected_engine_version="Athena engine version 3"),
                result_configuration=group.ResultConfigurationProperty(
                    output_location=f"s3://{self.results.bucket.bucket_name}/",
                    expected_bucket_owner=self.account,
                    encryption_configuration=group.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self.results.key.key_arn
                    ),
                ),
            ),
        )

    def _table(
        self,
        name: str,
        columns: Mapping[str, FeatureType],
        partition: str,
        folder: str,
        parameters: Mapping[str, str],
    ) -> glue.CfnTable:
        column = glue.CfnTable.ColumnProperty
        return glue.CfnTable(
            self,
            name,
            catalog_id=self.account,
            database_name=self.database_name,
            table_input=glue.CfnTable.TableInputProperty(
                name=name,
                table_type="EXTERNAL_TABLE",
                parameters={"classification": "parquet", **parameters},
                partition_keys=[column(name=partition, type="string")],
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=[column(name=field, type=type_) for field, type_ in columns.items()],
                    location=f"{folder}/",
                    input_format=f"{_HIVE}.MapredParquetInputFormat",
                    output_format=f"{_HIVE}.MapredParquetOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=f"{_HIVE}.serde.ParquetHiveSerDe"),
                ),
            ),
        )
