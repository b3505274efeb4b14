from functools import partial

from aws_cdk import CfnOutput, Environment, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from config.storage import CollectedData as CollectedDataSettings
from config.storage import Lustre as LustreSettings
from config.storage import Storage as StorageSettings
from mlplatform_constructs import (
    AccessLogBucket,
    CollectedData,
    CollectedDataSource,
    DataBucket,
    ImageRegistry,
    LustreFileSystem,
    SharedFileSystem,
)
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output


class StorageReplicaStack(Stack):
    """Replicas of features, models, predictions and metrics in another region, with their own key."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        region: str,
        settings: StorageSettings,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id, env=Environment(region=region))
        removal_policy = protection.removal_policy
        bucket = partial(
            DataBucket,
            self,
            encryption_key=kms.Key(
                self,
                "Key",
                description=f"{self.node.path}: replicas",
                enable_key_rotation=True,
                removal_policy=removal_policy,
            ),
            access_logs=AccessLogBucket(
                self, "AccessLogs", expiration_days=protection.log_days, removal_policy=removal_policy
            ),
            restore_days=settings.restore_days,
            removal_policy=removal_policy,
        )
        self.features = bucket("Features")
        self.models = bucket("Models")
        self.predictions = bucket("Predictions", expiration_days=settings.prediction_days)
        self.metrics = bucket("Metrics", expiration_days=settings.metric_days)


class StorageStack(Stack):
    """What the platform keeps: data, file systems, images.

    :param vpc: network of the file systems.
    :param protection: its data key encrypts everything but collected data that is held for its owner.
    :param replica: copies in another region. Default: none.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        settings: StorageSettings,
        protection: DataProtection,
        replica: StorageReplicaStack | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._protection, removal_policy = protection, protection.removal_policy
        encryption_key = protection.keys.data
        self.access_logs = AccessLogBucket(
            self, "AccessLogs", expiration_days=protection.log_days, removal_policy=removal_policy
        )
        self.collected_data = CollectedData(
            self,
            "CollectedData",
            source=self._source(settings.collected_data),
            access_logs=self.access_logs,
            restore_days=settings.restore_days,
            removal_policy=removal_policy,
        )
        refer_by_output(self.collected_data)  # a setting replaces it by the bucket of its owner
        self._buckets(settings)
        if replica:
            self._replicate_to(replica)
        self.workspaces = SharedFileSystem(
            self,
            "Workspaces",
            vpc=vpc,
            encryption_key=encryption_key,
            automatic_backups=removal_policy != RemovalPolicy.DESTROY,  # backups would outlive the stack
            removal_policy=removal_policy,
        )
        self.lustre = self._lustre(settings.lustre, vpc) if settings.lustre else None
        self.images = ImageRegistry(
            self,
            "Images",
            repositories=settings.repositories,
            encryption_key=encryption_key,
            removal_policy=removal_policy,
        )
        refer_by_output(self.images)  # a setting names the repositories
        self._outputs(settings)

    def _source(self, settings: CollectedDataSettings) -> CollectedDataSource:
        if settings.bucket_arn is None:
            return CollectedDataSource.held(writer_role_arns=settings.writer_role_arns)
        key = kms.Key.from_key_arn(self, "CollectedDataKey", settings.key_arn) if settings.key_arn else None
        return CollectedDataSource.existing(
            s3.Bucket.from_bucket_attributes(
                self, "CollectedDataBucket", bucket_arn=settings.bucket_arn, encryption_key=key
            )
        )

    def _buckets(self, settings: StorageSettings) -> None:
        bucket = partial(
            DataBucket,
            self,
            encryption_key=self._protection.keys.data,
            access_logs=self.access_logs,
            restore_days=settings.restore_days,
            removal_policy=self._protection.removal_policy,
        )
        self.features = bucket("Features")
        self.models = bucket("Models", events=True)
        self.predictions = bucket("Predictions", expiration_days=settings.prediction_days)
        self.metrics = bucket("Metrics", expiration_days=settings.metric_days)
        self.artifacts = bucket("Artifacts", expiration_days=settings.artifact_days)
        refer_by_output(self.artifacts, self.predictions)  # settings remove the stacks that read them

    def _replicate_to(self, replica: StorageReplicaStack) -> None:
        self.features.replicate_to(replica.features)
        self.models.replicate_to(replica.models)
        self.predictions.replicate_to(replica.predictions)
        self.metrics.replicate_to(replica.metrics)

    def _lustre(self, settings: LustreSettings, vpc: ec2.IVpc) -> LustreFileSystem:
        subnets = [*vpc.private_subnets, *vpc.isolated_subnets]
        zone = settings.availability_zone
        lustre = LustreFileSystem(
            self,
            "Lustre",
            vpc=vpc,
            subnet=next(subnet for subnet in subnets if zone in (None, subnet.availability_zone)),
            capacity_gib=settings.capacity_gib,
            throughput_mbps_per_tib=settings.throughput_mbps_per_tib,
            encryption_key=self._protection.keys.data,
            removal_policy=self._protection.removal_policy,
        )
        lustre.add_link("/features", self.features)
        refer_by_output(lustre)  # a setting moves it to another zone, or removes it
        return lustre

    def _outputs(self, settings: StorageSettings) -> None:
        """Outputs for people."""
        values = {
            "CollectedDataBucketName": self.collected_data.bucket_name,
            "FeaturesBucketName": self.features.bucket.bucket_name,
            "ModelsBucketName": self.models.bucket.bucket_name,
            "PredictionsBucketName": self.predictions.bucket.bucket_name,
            "MetricsBucketName": self.metrics.bucket.bucket_name,
            "ArtifactsBucketName": self.artifacts.bucket.bucket_name,
            "WorkspacesFileSystemId": self.workspaces.file_system.file_system_id,
        }
        for name in settings.repositories:
            label = "".join(word.capitalize() for word in name.split("-"))
            values[f"{label}RepositoryUri"] = self.images.repository(name).repository_uri
        for id, value in values.items():
            CfnOutput(self, id, value=value)
