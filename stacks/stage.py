"""The platform of one account: the account's own stacks, and the stacks of each of its clusters."""

from collections import Counter
from collections.abc import Mapping, Sequence

from aws_cdk import Environment, RemovalPolicy, Stack, Stage, Tags
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.monitoring import KEDA
from config.identity import ADVISER_SCOPE
from config.kubeflow import Kubeflow
from config.schema import Account
from config.tags import STAGE
from mlplatform_constructs import WorkloadRole
from stacks.account.adviser import AdviserStack
from stacks.account.airflow import AirflowStack
from stacks.account.audit import AuditStack
from stacks.account.data import DataStack
from stacks.account.identity import EdgeCertificateStack, IdentityStack
from stacks.account.metadata import MetadataStack
from stacks.account.network import NetworkStack
from stacks.account.security import SecurityStack
from stacks.account.storage import StorageReplicaStack, StorageStack
from stacks.account.workloads import WorkloadsStack
from stacks.cluster.cluster import ClusterStack
from stacks.cluster.kubeflow import (
    AwsState,
    ClusterState,
    CognitoSignIn,
    KubeflowPipelinesStack,
    KubeflowStack,
    KubeflowTeamsStack,
    KubeflowTrainingStack,
    PasswordSignIn,
    SignIn,
    State,
    TeamStorage,
)
from stacks.cluster.monitoring import MonitoringStack
from stacks.cluster.services import ClusterServicesStack, Storage, Surroundings
from stacks.cluster.serving import Domain, ServingStack, ServingStorage


class PlatformStage(Stage):
    """Everything in one account: its own stacks, those of its clusters, and the audit trail that watches them all.

    - ``account_stacks``: what all clusters share.
    - ``clusters``: the stacks of each cluster, by the name of the cluster.
    """

    def __init__(self, scope: Construct, id: str, *, settings: Account) -> None:
        super().__init__(scope, id, env=Environment(account=settings.account, region=settings.region))
        self.account_stacks = AccountStacks(self, settings)
        catalog = Catalog.load(registry=settings.image_registry)
        self.clusters: dict[str, ClusterStacks] = {}
        addresses: Counter[str] = Counter()
        for name in settings.clusters:
            stacks = ClusterStacks(
                self, name, settings, account=self.account_stacks, catalog=catalog, addresses_in_use=addresses
            )
            addresses.update(stacks.cluster.cluster.addresses_by_zone)
            self.clusters[name] = stacks
        self._admit_pipelines()
        self.audit = self.account_stacks.audit(settings, self.clusters)
        for stack in (child for child in self.node.children if isinstance(child, Stack)):
            stack.add_stack_tag(STAGE, id)

    def _admit_pipelines(self) -> None:
        """Allow pipelines of teams to deploy models into every other cluster that serves models."""
        for source, training in self.clusters.items():
            for target in self.clusters.values():
                if training.team_roles and target.serving and target is not training:
                    group = training.cluster.cluster.security_group
                    roles = list(training.team_roles.values())
                    target.serving.admit_pipelines(roles, group, _words(source))


class AccountStacks:
    """The stacks that all clusters of an account share, in the order of their deployment."""

    def __init__(self, stage: Stage, settings: Account) -> None:
        self._stage = stage
        policy = RemovalPolicy.DESTROY if settings.removal_policy == "destroy" else RemovalPolicy.RETAIN
        self.security = SecurityStack(
            stage, "Security", alarms=settings.alarms, logs=settings.logs, removal_policy=policy
        )
        self.protection = self.security.protection
        self.network = NetworkStack(
            stage,
            "Network",
            settings=settings.network,
            workloads=settings.workloads,
            bastion=settings.bastion,
            protection=self.protection,
        )
        self.storage_replica = self._storage_replica(settings)
        self.storage = StorageStack(
            stage,
            "Storage",
            vpc=self.network.vpc,
            settings=settings.storage,
            protection=self.protection,
            replica=self.storage_replica,
        )
        self.metadata = MetadataStack(
            stage,
            "Metadata",
            vpc=self.network.vpc,
            registries=_registries(settings) if _keeps_state_in_aws(settings) else [],
            alarm_topic=self.security.alarm_topic,
            settings=settings.database,
            protection=self.protection,
        )
        self.data = DataStack(
            stage,
            "Data",
            features=self.storage.features,
            models=self.storage.models,
            access_logs=self.storage.access_logs,
            alarm_topic=self.security.alarm_topic,
            protection=self.protection,
        )
        self.edge_certificate = self._edge_certificate(settings)
        self.identity = self._identity(settings)
        self.adviser = self._adviser(settings)
        self.airflow = self._airflow(settings)
        self.workloads = self._workloads(settings)

    def audit(self, settings: Account, clusters: Mapping[str, "ClusterStacks"]) -> AuditStack:
        """The audit trail. It is created last, because it also watches the emergency roles of the clusters."""
        recordable = {"features": self.storage.features.bucket, "models": self.storage.models.bucket}
        return AuditStack(
            self._stage,
            "Audit",
            settings=settings.audit,
            protection=self.protection,
            alarm_topic=self.security.alarm_topic,
            recorded_buckets=[recordable[name] for name in settings.audit.recorded_buckets],
            emergency_roles={_words(name): each.cluster.cluster.break_glass_role for name, each in clusters.items()},
        )

    def _storage_replica(self, settings: Account) -> StorageReplicaStack | None:
        if not settings.storage.replica_region:
            return None
        return StorageReplicaStack(
            self._stage,
            "StorageReplica",
            region=settings.storage.replica_region,
            settings=settings.storage,
            protection=self.protection,
        )

    def _edge_certificate(self, settings: Account) -> EdgeCertificateStack | None:
        zones, cognito = self.network.hosted_zones, settings.identity.cognito
        if not cognito or not zones:
            return None
        return EdgeCertificateStack(
            self._stage,
            "EdgeCertificate",
            domain_name=f"{cognito.host}.{settings.network.domain}",
            hosted_zone=zones.public_zone,
            protection=self.protection,
        )

    def _identity(self, settings: Account) -> IdentityStack | None:
        if not settings.has_identity:
            return None
        zones = self.network.hosted_zones
        return IdentityStack(
            self._stage,
            "Identity",
            settings=settings.identity,
            people=settings.people,
            teams=settings.teams,
            vpc=self.network.vpc,
            hosted_zone=zones.public_zone if zones else None,
            access_logs=self.storage.access_logs,
            protection=self.protection,
            edge=self.edge_certificate,
        )

    def _adviser(self, settings: Account) -> AdviserStack | None:
        """Where the settings have it, which refuse one without a user pool and clients."""
        cognito, users = settings.identity.cognito, self.identity.users if self.identity else None
        if not settings.adviser or not cognito or not users:
            return None
        machines = [name for name, machine in cognito.machines.items() if ADVISER_SCOPE in machine.scopes]
        return AdviserStack(
            self._stage,
            "Adviser",
            settings=settings.adviser,
            buckets={
                "collected_data": self.storage.collected_data,
                "features": self.storage.features,
                "predictions": self.storage.predictions,
                "metrics": self.storage.metrics,
                "artifacts": self.storage.artifacts,
            },
            output=self.storage.artifacts,
            users=users,
            oauth_scope=users.scope(ADVISER_SCOPE),
            clients={name: users.machine_client(name) for name in machines},
            protection=self.protection,
        )

    def _airflow(self, settings: Account) -> AirflowStack | None:
        """Airflow, if the account file has it. The settings refuse it without a user pool and a machine."""
        airflow, identity = settings.workloads.airflow, self.identity
        if not airflow or not identity or not identity.load_balancer:
            return None
        return AirflowStack(
            self._stage,
            "Airflow",
            settings=airflow,
            vpc=self.network.vpc,
            bastion=self.network.bastion,
            access_logs=self.storage.access_logs,
            kubeflow_url=identity.load_balancer.url,
            machine=identity.machine_secrets[airflow.machine],
            protection=self.protection,
        )

    def _workloads(self, settings: Account) -> WorkloadsStack | None:
        """Jobs of pipelines, if the account file has any. They come before the clusters, whose teams may start them."""
        if not settings.workloads.has_jobs:
            return None
        return WorkloadsStack(
            self._stage,
            "Workloads",
            settings=settings.workloads,
            teams=sorted(settings.teams),
            vpc=self.network.vpc,
            features=self.storage.features,
            artifacts=self.storage.artifacts,
            images=self.storage.images,
            protection=self.protection,
        )


class ClusterStacks:
    """A cluster, and the services that it gets before its first application.

    :param name: of the cluster in the account file.
    :param catalog: the components, with their images and charts as the account takes them.
    :param addresses_in_use: addresses by zone that the clusters before may take from the same subnets.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        settings: Account,
        *,
        account: AccountStacks,
        catalog: Catalog,
        addresses_in_use: Mapping[str, int],
    ) -> None:
        self.cluster = ClusterStack(
            stage,
            f"{_words(name)}Cluster",
            settings=settings.clusters[name],
            vpc=account.network.vpc,
            bastion=account.network.bastion,
            protection=account.protection,
            alarm_topic=account.security.alarm_topic,
            addresses_in_use=addresses_in_use,
            people=account.identity.people if account.identity else (),
        )
        lustre = settings.storage.lustre
        self._catalog = catalog
        self.services = ClusterServicesStack(
            stage,
            f"{_words(name)}Services",
            settings=settings.clusters[name],
            cluster=self.cluster.cluster,
            surroundings=Surroundings(
                vpc=account.network.vpc,
                subnet_tags=account.network.discovery_tags,
                isolated=settings.network.nat == "none",
                hosted_zones=account.network.hosted_zones,
                reserved_names=settings.own_names,
            ),
            storage=Storage(
                workspaces=account.storage.workspaces,
                lustre=account.storage.lustre,
                lustre_gib=lustre.capacity_gib if lustre else 0,
                lustre_zone=(lustre.availability_zone or settings.network.availability_zones[0]) if lustre else None,
                teams=sorted(settings.teams),
            ),
            protection=account.protection,
            catalog=self._catalog,
            mesh_requests=settings.logs.mesh_requests,
        )
        last: list[Stack] = [self.services]
        self.team_roles: Mapping[str, WorkloadRole] = {}
        """The role of each team with a workspace in this cluster, by the team's name."""
        self.serving: ServingStack | None = None
        if settings.clusters[name].kubeflow:
            teams = self._add_kubeflow(stage, name, settings, account)
            self.team_roles = teams.roles
            last.append(teams)
        if settings.clusters[name].serving:
            self.serving = self._add_serving(stage, name, settings, account)
            last.append(self.serving)
        if settings.clusters[name].monitoring:
            self._add_monitoring(stage, name, settings, account, last)

    def _add_serving(self, stage: Stage, name: str, settings: Account, account: AccountStacks) -> ServingStack:
        serving, zones = settings.clusters[name].serving, account.network.hosted_zones
        assert serving
        return ServingStack(
            stage,
            f"{_words(name)}Serving",
            settings=serving,
            cluster=self.cluster.cluster,
            identity=self.cluster.identity,
            storage=ServingStorage(
                models=account.data.models,
                artifacts=account.storage.artifacts,
                predictions=account.storage.predictions,
            ),
            teams=sorted(settings.teams),
            domain=Domain(zone=zones.public_zone, network=settings.network.cidr) if zones else None,
            services=self.services,
            catalog=self._catalog,
            protection=account.protection,
        )

    def _add_monitoring(
        self, stage: Stage, name: str, settings: Account, account: AccountStacks, after: Sequence[Stack]
    ) -> None:
        """Last, because it scrapes what the stacks before have installed."""
        cluster = settings.clusters[name]
        monitoring, kubeflow, serving = cluster.monitoring, cluster.kubeflow, cluster.serving
        assert monitoring
        keda = serving is not None and serving.scale_from_zero
        MonitoringStack(
            stage,
            f"{_words(name)}Monitoring",
            name=name,
            settings=monitoring,
            cluster=self.cluster.cluster,
            alarms=account.security.alarms,
            controllers=[*(kubeflow.namespaces if kubeflow else ()), *((KEDA,) if keda else ())],
            keda=keda,
            behind_gateway=kubeflow is not None,
            after=after,
            catalog=self._catalog,
            protection=account.protection,
        )

    def _add_kubeflow(self, stage: Stage, name: str, settings: Account, account: AccountStacks) -> KubeflowTeamsStack:
        """Applications, operators, Pipelines, and last the workspaces, which all webhooks then look after."""
        kubeflow = settings.clusters[name].kubeflow
        assert kubeflow
        cluster = self.cluster.cluster
        if account.identity and account.identity.load_balancer:
            # The load balancer controller may change only what carries the name of its cluster.
            Tags.of(account.identity.load_balancer.target_group).add("elbv2.k8s.aws/cluster", cluster.cluster_name)
        applications = KubeflowStack(
            stage,
            f"{_words(name)}Kubeflow",
            settings=kubeflow,
            cluster=cluster,
            services=self.services,
            catalog=self._catalog,
            protection=account.protection,
            sign_in=_sign_in(settings, account),
        )
        training = KubeflowTrainingStack(
            stage,
            f"{_words(name)}KubeflowTraining",
            settings=kubeflow,
            cluster=cluster,
            applications=applications,
            catalog=self._catalog,
            protection=account.protection,
        )
        pipelines = KubeflowPipelinesStack(
            stage,
            f"{_words(name)}KubeflowPipelines",
            settings=kubeflow,
            cluster=cluster,
            training=training,
            state=_state(kubeflow, settings, account),
            catalog=self._catalog,
            protection=account.protection,
        )
        return KubeflowTeamsStack(
            stage,
            f"{_words(name)}KubeflowTeams",
            profiles=settings.profiles,
            cluster=cluster,
            identity=self.cluster.identity,
            storage=TeamStorage(artifacts=account.storage.artifacts, training_data=settings.storage.lustre is not None),
            runs=pipelines.state,
            queues=kubeflow.kueue,
            spark_history=kubeflow.spark_history,
            jobs=account.workloads.jobs if account.workloads else {},
            after=[applications, training, pipelines],
            catalog=self._catalog,
            protection=account.protection,
        )


def _sign_in(settings: Account, account: AccountStacks) -> SignIn:
    """By the user pool where there is one; the settings refuse a Kubeflow that does not fit."""
    identity, cognito = account.identity, settings.identity.cognito
    balancer = identity.load_balancer if identity else None
    if balancer and identity and identity.users and cognito:
        return CognitoSignIn(load_balancer=balancer, users=identity.users, settings=cognito)
    return PasswordSignIn(people=settings.people, protection=account.protection, load_balancer=balancer)


def _state(kubeflow: Kubeflow, settings: Account, account: AccountStacks) -> State:
    registries = _registries(settings)
    if kubeflow.in_aws:
        database, artifacts = account.metadata.database, account.storage.artifacts
        return AwsState(database=database, artifacts=artifacts, registries=registries)
    return ClusterState(protection=account.protection, teams=sorted(settings.teams), registries=registries)


def _registries(settings: Account) -> list[str]:
    """Teams with a model registry."""
    wanted = any(each.kubeflow and each.kubeflow.model_registry for each in settings.clusters.values())
    return sorted(settings.teams) if wanted else []


def _keeps_state_in_aws(settings: Account) -> bool:
    return any(each.kubeflow and each.kubeflow.in_aws for each in settings.clusters.values())


def _words(name: str) -> str:
    """``training-eu`` as ``TrainingEu``."""
    return "".join(word.capitalize() for word in name.split("-"))
