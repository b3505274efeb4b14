from collections.abc import Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sns as sns
from constructs import Construct

from config.database import Database
from mlplatform_constructs import MetadataDatabase
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output


class MetadataStack(Stack):
    """The metadata of Kubeflow's services: runs, artifacts, experiments, registered models.

    :param vpc: network of the database.
    :param registries: teams whose model registry keeps its data here.
    :param alarm_topic: receives alarms about the database and its password rotation.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        registries: Sequence[str],
        alarm_topic: sns.ITopic,
        settings: Database,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self.database = MetadataDatabase(
            self,
            "Database",
            vpc=vpc,
            encryption_key=protection.keys.metadata,
            instance_type=settings.instance_type,
            storage_gib=settings.storage_gib,
            max_storage_gib=settings.max_storage_gib,
            max_connections=settings.max_connections,
            backup_days=settings.backup_days,
            highly_available=settings.highly_available,
            registries=registries,
            alarm_topic=alarm_topic,
            removal_policy=protection.removal_policy,
            **protection.logs,
        )
        refer_by_output(self.database)  # Kubeflow's stacks read it, and a setting removes them
        CfnOutput(self, "DatabaseHost", value=self.database.instance.attr_endpoint_address)
        for name, secret in self.database.credentials.items():
            CfnOutput(self, f"{self.database.consumers[name].user.capitalize()}Secret", value=secret.ref)
