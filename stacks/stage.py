from collections import Counter

from aws_cdk import Environment, RemovalPolicy, Stage
from constructs import Construct

from charts.helm_charts import HelmCharts
from charts.images import Images
from config.schema import Account
from stacks.audit import AuditStack
from stacks.cluster import ClusterStack
from stacks.cluster_services import ClusterServicesStack
from stacks.data import DataStack
from stacks.identity import EdgeCertificateStack, IdentityStack
from stacks.metadata import MetadataStack
from stacks.network import NetworkStack
from stacks.security import SecurityStack
from stacks.storage import StorageReplicaStack, StorageStack


class PlatformStage(Stage):
    """The whole platform of one account: makes the stacks in order and passes objects from one to the next."""

    def __init__(self, scope: Construct, id: str, *, settings: Account) -> None:
        super().__init__(scope, id, env=Environment(account=settings.account, region=settings.region))
        removal_policy = RemovalPolicy.DESTROY if settings.removal_policy == "destroy" else RemovalPolicy.RETAIN

        self.security = SecurityStack(self, "Security", alarms=settings.alarms, removal_policy=removal_policy)
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
        self.metadata = MetadataStack(
            self,
            "Metadata",
            vpc=self.network.network.vpc,
            keys=self.security.keys,
            alarm_topic=self.security.alarm_topic,
            settings=settings.database,
            logs=settings.logs,
            removal_policy=removal_policy,
        )
        self.data = DataStack(
            self,
            "Data",
            features=self.storage.features,
            models=self.storage.models,
            access_logs=self.storage.access_logs,
            log_key=self.security.keys.logs,
            alarm_topic=self.security.alarm_topic,
            logs=settings.logs,
            removal_policy=removal_policy,
        )
        self.edge_certificate = self._edge_certificate(settings, removal_policy)
        self.identity = self._identity(settings, removal_policy)
        self.clusters = self._clusters(settings, removal_policy)
        self.services = self._services(settings, removal_policy)
        self.audit = AuditStack(
            self,
            "Audit",
            settings=settings.audit,
            logs=settings.logs,
            log_key=self.security.keys.logs,
            alarm_topic=self.security.alarm_topic,
            recorded_buckets=[self.storage.features.bucket, self.storage.models.bucket],
            emergency_roles={_words(name): stack.cluster.break_glass_role for name, stack in self.clusters.items()},
            removal_policy=removal_policy,
        )

    def _edge_certificate(self, settings: Account, removal_policy: RemovalPolicy) -> EdgeCertificateStack | None:
        zones, cognito = self.network.hosted_zones, settings.identity.cognito
        if not cognito or not zones:
            return None
        return EdgeCertificateStack(
            self,
            "EdgeCertificate",
            domain_name=f"{cognito.host}.{settings.network.domain}",
            hosted_zone=zones.public_zone,
            removal_policy=removal_policy,
        )

    def _identity(self, settings: Account, removal_policy: RemovalPolicy) -> IdentityStack | None:
        if not settings.has_identity:
            return None
        zones = self.network.hosted_zones
        return IdentityStack(
            self,
            "Identity",
            settings=settings.identity,
            people=settings.people,
            teams=settings.teams,
            vpc=self.network.network.vpc,
            hosted_zone=zones.public_zone if zones else None,
            access_logs=self.storage.access_logs,
            keys=self.security.keys,
            logs=settings.logs,
            removal_policy=removal_policy,
            edge=self.edge_certificate,
        )

    def _clusters(self, settings: Account, removal_policy: RemovalPolicy) -> dict[str, ClusterStack]:
        clusters: dict[str, ClusterStack] = {}
        addresses: Counter[str] = Counter()
        for name, cluster in settings.clusters.items():
            clusters[name] = ClusterStack(
                self,
                f"{_words(name)}Cluster",
                settings=cluster,
                vpc=self.network.network.vpc,
                bastion=self.network.bastion,
                keys=self.security.keys,
                logs=settings.logs,
                addresses_in_use=addresses,
                removal_policy=removal_policy,
                people=self.identity.people if self.identity else (),
            )
            addresses.update(clusters[name].cluster.addresses_by_zone)
        return clusters

    def _services(self, settings: Account, removal_policy: RemovalPolicy) -> dict[str, ClusterServicesStack]:
        images = Images.load(registry=settings.image_registry)
        helm_charts = HelmCharts.load(registry=settings.image_registry)
        lustre, lustre_settings = self.storage.lustre, settings.storage.lustre
        return {
            name: ClusterServicesStack(
                self,
                f"{_words(name)}Services",
                settings=settings.clusters[name],
                cluster=stack.cluster,
                vpc=self.network.network.vpc,
                subnet_tags=self.network.network.discovery_tags,
                isolated=settings.network.nat == "none",
                disk_key=self.security.keys.data,
                log_key=self.security.keys.logs,
                workspaces=self.storage.workspaces,
                lustre=(lustre, lustre_settings.capacity_gib) if lustre and lustre_settings else None,
                hosted_zones=self.network.hosted_zones,
                images=images,
                helm_charts=helm_charts,
                logs=settings.logs,
                removal_policy=removal_policy,
            )
            for name, stack in self.clusters.items()
        }


def _words(name: str) -> str:
    """``training-eu`` as ``TrainingEu``."""
    return "".join(word.capitalize() for word in name.split("-"))
