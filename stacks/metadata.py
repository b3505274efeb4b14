from aws_cdk import CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sns as sns
from constructs import Construct

from config.database import Database
from config.schema import Logs
from mlplatform_constructs import EncryptionKeys, MetadataDatabase
from stacks.log_retention import log_retention


class MetadataStack(Stack):
    """What Kubeflow's services remember: runs, artifacts, experiments.

    :param vpc: network of the database.
    :param alarm_topic: is told when the database or its passwords are in trouble.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        keys: EncryptionKeys,
        alarm_topic: sns.ITopic,
        settings: Database,
        logs: Logs,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        self.database = MetadataDatabase(
            self,
            "Database",
            vpc=vpc,
            encryption_key=keys.metadata,
            instance_type=settings.instance_type,
            storage_gib=settings.storage_gib,
            max_storage_gib=settings.max_storage_gib,
            max_connections=settings.max_connections,
            backup_days=settings.backup_days,
            highly_available=settings.highly_available,
            alarm_topic=alarm_topic,
            log_encryption_key=keys.logs,
            log_retention=log_retention(logs),
            removal_policy=removal_policy,
        )
        CfnOutput(self, "DatabaseHost", value=self.database.instance.attr_endpoint_address)
        for name, secret in self.database.credentials.items():
            CfnOutput(self, f"{name.capitalize()}Secret", value=secret.ref)
