from aws_cdk import Environment, RemovalPolicy, Stage
from constructs import Construct

from config.schema import Account
from stacks.audit import AuditStack
from stacks.data import DataStack
from stacks.network import NetworkStack
from stacks.security import SecurityStack
from stacks.storage import StorageReplicaStack, StorageStack


class PlatformStage(Stage):
    """The whole platform of one account: makes the stacks in order and passes objects from one to the next."""

    def __init__(self, scope: Construct, id: str, *, settings: Account) -> None:
        super().__init__(scope, id, env=Environment(account=settings.account, region=settings.region))
        removal_policy = RemovalPolicy.DESTROY if settings.removal_policy == "destroy" else RemovalPolicy.RETAIN

        self.security = SecurityStack(self, "Security", removal_policy=removal_policy)
        self.network = NetworkStack(
            self,
            "Network",
            settings=settings.network,
            bastion=settings.bastion,
            logs=settings.logs,
            log_key=self.security.keys.logs,
            removal_policy=removal_policy,
        )
        self.storage_replica = (
            StorageReplicaStack(
                self,
                "StorageReplica",
                region=settings.storage.replica_region,
                settings=settings.storage,
                logs=settings.logs,
                removal_policy=removal_policy,
            )
            if settings.storage.replica_region
            else None
        )
        self.storage = StorageStack(
            self,
            "Storage",
            vpc=self.network.network.vpc,
            encryption_key=self.security.keys.data,
            settings=settings.storage,
            logs=settings.logs,
            removal_policy=removal_policy,
            replica=self.storage_replica,
        )
        self.data = DataStack(
            self,
            "Data",
            features=self.storage.features,
            models=self.storage.models,
            access_logs=self.storage.access_logs,
            log_key=self.security.keys.logs,
            logs=settings.logs,
            removal_policy=removal_policy,
        )
        self.audit = AuditStack(
            self,
            "Audit",
            settings=settings.audit,
            logs=settings.logs,
            log_key=self.security.keys.logs,
            recorded_buckets=[self.storage.features.bucket, self.storage.models.bucket],
            emergency_roles={},
            removal_policy=removal_policy,
        )
