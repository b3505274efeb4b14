from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cdk8s
from aws_cdk import Stack
from constructs import Construct

from charts.base.storage_classes.objects import SHARED_CLASS
from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.kubeflow.database_access.renewal import LoginRenewal
from charts.kubeflow.kueue.objects import TeamQueues
from charts.kubeflow.metadata_store import objects as metadata_store
from charts.kubeflow.model_registry.objects import ACCOUNT as REGISTRY_ACCOUNT
from charts.kubeflow.model_registry.objects import DATABASE as REGISTRY_DATABASE
from charts.kubeflow.model_registry.objects import SERVER as REGISTRY
from charts.kubeflow.model_registry.objects import ModelRegistry
from charts.kubeflow.pipelines.objects import ARTIFACT_PROXY
from charts.kubeflow.pipelines.profile import PipelinesProfile
from charts.kubeflow.spark_history_server import objects as spark
from charts.kubeflow.teams.objects import SERVICE_ACCOUNT, Team, Teams
from config.people import Profile
from mlplatform_constructs import (
    DataBucket,
    EmrJobs,
    EmrServerlessJobs,
    EncryptionKeys,
    KubernetesCluster,
    SageMakerJobs,
    WorkloadIdentity,
    WorkloadRole,
)
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output

from ..._wiring.installer import Installer
from .state import RegistryDatabase, StateCharts


@dataclass(frozen=True, kw_only=True)
class TeamStorage:
    """Where teams keep data.

    :param artifacts: each team reads, writes and deletes what is under its own name.
    :param training_data: whether there is a Lustre file system.
    """

    artifacts: DataBucket
    training_data: bool = False


class KubeflowTeamsStack(Stack):
    """The workspaces of the account file's teams: a namespace with its Profile and quota, and a role in AWS.

    Each team also gets a model registry if ``runs`` has databases of registries.

    Pods of a team's service account get the role by the cluster's strategy. Nothing in the cluster can change it.

    - ``roles``: the role of each team, by the team's name.

    :param profiles: the teams.
    :param identity: how pods get roles.
    :param runs: where the runs of Pipelines store what they make.
    :param queues: whether each team has a queue for its jobs.
    :param spark_history: whether each team has a history server for its Spark programs.
    :param jobs: by team, kinds of jobs in other AWS services that its pipelines may start.
    :param after: stacks whose controllers and webhooks look after workspaces, which are deployed first.
    :param protection: its keys encrypt secrets and logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        profiles: Sequence[Profile],
        cluster: KubernetesCluster,
        identity: WorkloadIdentity,
        storage: TeamStorage,
        runs: StateCharts,
        queues: bool,
        spark_history: bool,
        jobs: Mapping[str, Sequence[EmrJobs | EmrServerlessJobs | SageMakerJobs]],
        after: Sequence[Stack],
        catalog: Catalog,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        for stack in after:
            self.add_stack_dependency(stack)
        installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        self._storage = storage
        scope = Construct(self, "Roles")
        self.roles: Mapping[str, WorkloadRole] = {
            each.name: identity.role_for(scope, each.name, namespace=each.name, service_account=SERVICE_ACCOUNT)
            for each in profiles
        }
        for name, role in self.roles.items():
            self._grant(role, f"{name}/*")
            for one in jobs.get(name, ()):
                one.grant_run(role)
        refer_by_output(*self.roles.values())  # clusters that serve models name them, and a setting removes a team
        devices = sorted({spec.device_resource for spec in cluster.node_groups if spec.device_resource})
        charts = cdk8s.App()
        found: list[ComponentChart] = [
            Teams(
                charts,
                "Teams",
                teams=[self._team(each, devices) for each in profiles],
                shared_class=SHARED_CLASS,
                training_data=storage.training_data,
                tensorboard_image=installer.images.reference("tensorboard"),
            )
        ]
        readers = self._readers_of_keys(cluster, runs, protection)
        for team, database in runs.registries.items():
            found += self._registry(charts, installer, team, database)
        readers += self._readers_of_registries(cluster, runs)
        for each in profiles:
            found.append(
                PipelinesProfile(
                    charts,
                    f"Pipelines-{each.name}",
                    profile=each.name,
                    ui_image=installer.images.reference("kfp-frontend"),
                    artifacts=runs.artifacts,
                    keys=(self.region, runs.keys[each.name].secret_arn) if runs.keys else None,
                    metadata=(f"{metadata_store.SERVICE}.{metadata_store.NAMESPACE}", metadata_store.PORT),
                )
            )
        if queues:
            found.append(TeamQueues(charts, "TeamQueues", gpu_quotas={each.name: each.gpu_quota for each in profiles}))
        if spark_history:
            readers += self._readers_of_events(cluster)
            found += [
                spark.SparkHistoryServer(
                    charts,
                    f"SparkHistory-{each.name}",
                    team=each.name,
                    images=installer.images,
                    events=f"{self._artifacts_of(each)}{spark.EVENTS}",
                    region=self.region,
                )
                for each in profiles
            ]
        self.workspaces = installer.deliver(self, "Workspaces", *found, after=installer.settled(*readers))

    def _artifacts_of(self, profile: Profile) -> str:
        return f"s3://{self._storage.artifacts.bucket.bucket_name}/{profile.name}/"

    def _readers_of_events(self, cluster: KubernetesCluster) -> list[WorkloadRole]:
        """Roles of the history servers, which read the event logs of their team and nothing else."""
        scope, identity = Construct(self, "SparkHistory"), WorkloadIdentity.pod_identity(cluster)
        found = []
        for team in self.roles:
            role = identity.role_for(scope, team, namespace=team, service_account=spark.HISTORY)
            self._storage.artifacts.grant_read(role, f"{team}/{spark.EVENTS}/*")
            found.append(role)
        return found

    def _readers_of_keys(
        self, cluster: KubernetesCluster, runs: StateCharts, protection: DataProtection
    ) -> list[WorkloadRole]:
        """Roles of the proxies that keep the keys of a store in the cluster synchronized, one for each team.

        The driver of secrets takes credentials of EKS Pod Identity, whatever the cluster gives to pods of teams.
        """
        if not runs.keys:
            return []
        scope, identity = Construct(self, "Keys"), WorkloadIdentity.pod_identity(cluster)
        roles = {
            name: identity.role_for(scope, name, namespace=name, service_account=ARTIFACT_PROXY) for name in runs.keys
        }
        for name, role in roles.items():
            EncryptionKeys.grant_read_secrets(role, protection.keys.metadata, [runs.keys[name]])
        return list(roles.values())

    def _registry(
        self, charts: cdk8s.App, installer: Installer, team: str, database: RegistryDatabase
    ) -> list[ComponentChart]:
        access = database.access(charts, team, region=self.region)
        registry = ModelRegistry(
            charts,
            f"ModelRegistry-{team}",
            namespace=team,
            image=installer.images.reference("model-registry-server"),
            database=access.databases[REGISTRY_DATABASE],
        )
        if not database.rotated:
            return [access, registry]
        image = installer.images.reference("kubectl")
        renewal = LoginRenewal(charts, f"LoginRenewal-{team}", namespace=team, deployments=[REGISTRY], image=image)
        return [access, registry, renewal]

    def _readers_of_registries(self, cluster: KubernetesCluster, runs: StateCharts) -> list[WorkloadRole]:
        """Roles of the model registries, each for the login of its own database, by EKS Pod Identity."""
        if not runs.registries:
            return []
        scope, identity = Construct(self, "Registries"), WorkloadIdentity.pod_identity(cluster)
        roles = []
        for team, database in runs.registries.items():
            role = identity.role_for(scope, team, namespace=team, service_account=REGISTRY_ACCOUNT)
            database.grant_read(role)
            roles.append(role)
        return roles

    def _grant(self, role: WorkloadRole, prefix: str) -> None:
        bucket = self._storage.artifacts
        for grant in (bucket.grant_read, bucket.grant_write, bucket.grant_delete):
            grant(role, prefix)

    def _team(self, profile: Profile, devices: Sequence[str]) -> Team:
        role = self.roles[profile.name]
        return Team(
            name=profile.name,
            owner=profile.owner,
            contributors=profile.members,
            quota={f"requests.{device}": str(profile.gpu_quota) for device in devices},
            environment={
                "AWS_DEFAULT_REGION": self.region,
                "AWS_REGION": self.region,
                "MLPLATFORM_ARTIFACTS": self._artifacts_of(profile),
            },
            service_account_annotations=role.service_account_annotations,
            pod_annotations=role.pod_annotations,
            namespace_annotations=role.namespace_annotations,
        )
