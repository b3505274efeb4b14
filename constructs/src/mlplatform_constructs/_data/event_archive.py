"""The events of a feature group, kept as Parquet for the offline features."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_logs as logs
from constructs import Construct

from .._security.service_principal import service_principal
from .._storage.data_bucket import DataBucket
from .._storage.object_grants import grant_objects
from .feature_catalog import FeatureCatalog
from .feature_group import EVENT_PARTITION, FeatureGroup

DELIVERY_SECONDS = 300
"""Firehose collects events for this long, so that files are few."""


class EventArchive(Construct):
    """A Firehose stream that writes events into the table's columns, a folder for each day of arrival.

    :param group: whose events these are.
    :param catalog: has the table.
    :param table: gives the types that JSON is converted to.
    :param bucket: takes ``events/<group>/`` and, of what could not be converted, ``rejected/<group>/``.
    :param log_group: of failed deliveries.
    :param removal_policy: removal policy of their log.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        group: FeatureGroup,
        catalog: FeatureCatalog,
        table: glue.CfnTable,
        bucket: DataBucket,
        log_group: logs.LogGroup,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        role = self._role(group, catalog, bucket, log_group)
        log_stream = logs.LogStream(self, "Log", log_group=log_group, removal_policy=removal_policy)
        properties = firehose.CfnDeliveryStream
        self.stream = properties(
            self,
            "Stream",
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=properties.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="CUSTOMER_MANAGED_CMK", key_arn=bucket.key.key_arn
            ),
            extended_s3_destination_configuration=properties.ExtendedS3DestinationConfigurationProperty(
                bucket_arn=bucket.bucket.bucket_arn,
                role_arn=role.role_arn,
                prefix=f"events/{group.name}/{EVENT_PARTITION}=!{{timestamp:yyyy-MM-dd}}/",
                error_output_prefix=f"rejected/{group.name}/!{{firehose:error-output-type}}/",
                buffering_hints=properties.BufferingHintsProperty(
                    interval_in_seconds=DELIVERY_SECONDS, size_in_m_bs=128
                ),
                compression_format="UNCOMPRESSED",  # Parquet compresses its own columns
                encryption_configuration=properties.EncryptionConfigurationProperty(
                    kms_encryption_config=properties.KMSEncryptionConfigProperty(awskms_key_arn=bucket.key.key_arn)
                ),
                cloud_watch_logging_options=properties.CloudWatchLoggingOptionsProperty(
                    enabled=True,
                    log_group_name=log_group.log_group_name,
                    log_stream_name=log_stream.log_stream_name,
                ),
                data_format_conversion_configuration=self._conversion(catalog, table, role),
            ),
        )
        self.stream.node.add_dependency(role)  # Firehose tests the role when the stream is created

    def _role(
        self, group: FeatureGroup, catalog: FeatureCatalog, bucket: DataBucket, log_group: logs.LogGroup
    ) -> iam.Role:
        """The permissions that Firehose needs, limited to the group's own prefixes and table.

        https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html#using-iam-s3
        """
        role = iam.Role(self, "Role", assumed_by=service_principal(self, "firehose.amazonaws.com"))
        for prefix in (f"events/{group.name}/*", f"rejected/{group.name}/*"):
            grant_objects(role, bucket.bucket, prefix, "s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
        bucket.key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            resource_arns=[bucket.bucket.bucket_arn],
        )
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"],
            resource_arns=catalog.table_arns(group.events_table),
        )
        log_group.grant(role, "logs:PutLogEvents")
        return role

    def _conversion(
        self, catalog: FeatureCatalog, table: glue.CfnTable, role: iam.Role
    ) -> firehose.CfnDeliveryStream.DataFormatConversionConfigurationProperty:
        properties = firehose.CfnDeliveryStream
        return properties.DataFormatConversionConfigurationProperty(
            enabled=True,
            input_format_configuration=properties.InputFormatConfigurationProperty(
                deserializer=properties.DeserializerProperty(
                    open_x_json_ser_de=properties.OpenXJsonSerDeProperty(case_insensitive=True)
                )
            ),
            output_format_configuration=properties.OutputFormatConfigurationProperty(
                serializer=properties.SerializerProperty(
                    parquet_ser_de=properties.ParquetSerDeProperty(compression="SNAPPY")
                )
            ),
            schema_configuration=properties.SchemaConfigurationProperty(
                catalog_id=catalog.account,
                database_name=catalog.database_name,
                region=catalog.region,
                role_arn=role.role_arn,
                table_name=table.ref,
                version_id="LATEST",
            ),
        )
