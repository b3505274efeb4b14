from collections.abc import Sequence
from dataclasses import dataclass

import cdk8s
from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_eks_v2 as eks
from aws_cdk import aws_route53 as route53
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.serving.emissary_ingress import objects as emissary
from charts.serving.emissary_ingress.objects import EmissaryIngress, Entrance
from charts.serving.keda.objects import Keda
from charts.serving.kserve.objects import KServe
from charts.serving.model_namespaces.objects import BATCH, SERVER, ModelNamespace, ModelNamespaces, deployers
from charts.serving.seldon_core.objects import SeldonCore
from config.serving import Serving as ServingSettings
from mlplatform_constructs import (
    DataBucket,
    DnsCertificate,
    KubernetesCluster,
    ModelRepository,
    WorkloadIdentity,
    WorkloadRole,
)
from stacks._wiring.data_protection import DataProtection

from .._wiring.installer import Installer


@dataclass(frozen=True, kw_only=True)
class ServingStorage:
    """What servers of models read and write.

    :param models: every team's servers read all models.
    :param artifacts: batch jobs read the data sets under their team's name.
    :param predictions: batch jobs read and write what is under their team's name.
    """

    models: ModelRepository
    artifacts: DataBucket
    predictions: DataBucket


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The domain below which the gateway can have a name.

    :param zone: public zone of the domain, in which the certificate is proved.
    :param network: addresses of the load balancers.
    """

    zone: route53.IHostedZone
    network: str


class ServingStack(Stack):
    """What serves models on an inference cluster: Seldon Core behind Ambassador, KServe, KEDA, the teams' namespaces.

    Each team has two AWS roles there: servers read models, batch jobs also read data sets and write predictions.

    :param settings: of serving.
    :param identity: how pods get roles.
    :param teams: their names.
    :param domain: Default: there is none, and no name outside the cluster.
    :param services: the stack with the services of the cluster, which is deployed first.
    :param protection: its keys encrypt logs.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: ServingSettings,
        cluster: KubernetesCluster,
        identity: WorkloadIdentity,
        storage: ServingStorage,
        teams: Sequence[str],
        domain: Domain | None,
        services: Stack,
        catalog: Catalog,
        protection: DataProtection,
    ) -> None:
        super().__init__(scope, id)
        self.add_stack_dependency(services)
        self._installer = Installer(self, cluster=cluster, catalog=catalog, protection=protection)
        self._settings, self._identity, self._storage = settings, identity, storage
        self._cluster, self._teams = cluster, frozenset(teams)
        self._domain, self._protection = domain, protection
        charts, namespaces_of_teams = cdk8s.App(), Construct(self, "Teams")
        components = self._components(charts)
        namespaces = ModelNamespaces(
            charts,
            "Namespaces",
            teams=[self._namespace(Construct(namespaces_of_teams, team), team) for team in teams],
            level="baseline" if settings.seldon or settings.kserve else "restricted",
            gateway=(emissary.NAMESPACE, emissary.NAME) if settings.seldon else None,
        )
        scaler = [self._scaler()] if settings.scale_from_zero else []
        self.servers = self._installer.deliver(
            self,
            "Servers",
            namespaces,
            *components.values(),
            definitions=list(components),
            after=self._installer.settled(*scaler),
        )

    def admit_pipelines(self, roles: Sequence[WorkloadRole], pods: ec2.ISecurityGroup, source: str) -> None:
        """Allow pipelines of another cluster to deploy model servers, each into the namespace of its own team.

        :param roles: of the teams' pipelines.
        :param pods: security group of their pods, which gets access to the API server.
        :param source: name of their cluster.
        """
        scope = Construct(self, f"From{source}")
        (api_server,) = self._cluster.connections.security_groups
        ec2.CfnSecurityGroupIngress(
            scope,
            "ApiServer",
            description="Pipelines of teams, which deploy model servers",
            group_id=api_server.security_group_id,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            source_security_group_id=pods.security_group_id,
        )
        for role in (each for each in roles if each.namespace in self._teams):
            entry = eks.CfnAccessEntry(
                scope,
                role.namespace,
                cluster_name=self._cluster.cluster_name,
                principal_arn=role.role_arn,
                kubernetes_groups=[deployers(role.namespace)],
            )
            entry.node.add_dependency(self.servers)  # the role binding of the group exists before its first member
            self._cluster.grant_find(role)

    def _components(self, charts: cdk8s.App) -> dict[str, ComponentChart]:
        """The charts by the name of their component in the catalog, which has their definitions."""
        images, placement = self._installer.images, self._installer.placement
        found: dict[str, ComponentChart] = {}
        if self._settings.seldon:
            found["serving/emissary_ingress"] = EmissaryIngress(
                charts,
                "Ambassador",
                image=images.reference("emissary"),
                entrance=self._entrance(),
                placement=placement,
            )
            found["serving/seldon_core"] = SeldonCore(
                charts,
                "SeldonCore",
                images=images,
                keda=self._settings.scale_from_zero,
                placement=placement,
            )
        if self._settings.kserve:
            found["serving/kserve"] = KServe(
                charts,
                "KServe",
                images=images,
                keda=self._settings.scale_from_zero,
                placement=placement,
            )
        if self._settings.scale_from_zero:
            found["serving/keda"] = Keda(charts, "Keda", images=images, teams=sorted(self._teams), placement=placement)
        return found

    def _scaler(self) -> WorkloadRole:
        """The role by which KEDA counts the messages of the teams' queues, and receives none of them."""
        role = self._installer.role(self, "Keda", "keda-operator")
        self._installer.cluster.grant_count_messages(role, [f"{team}-" for team in sorted(self._teams)])
        return role

    def _entrance(self) -> Entrance | None:
        if not self._settings.host or not self._domain:
            return None
        zone = self._domain.zone
        host = f"{self._settings.host}.{zone.zone_name}"
        certificate = DnsCertificate(
            self,
            "Certificate",
            domain_names=[host],
            hosted_zone=zone,
            removal_policy=self._protection.removal_policy,
        ).certificate
        return Entrance(host=host, certificate_arn=certificate.certificate_arn, networks=[self._domain.network])

    def _namespace(self, scope: Construct, team: str) -> ModelNamespace:
        server = self._identity.role_for(scope, "Server", namespace=team, service_account=SERVER)
        batch = self._identity.role_for(scope, "Batch", namespace=team, service_account=BATCH)
        for role in (server, batch):
            self._storage.models.grant_read(role)
        self._storage.artifacts.grant_read(batch, f"{team}/*")
        self._storage.predictions.grant_read(batch, f"{team}/*")
        self._storage.predictions.grant_write(batch, f"{team}/*")
        return ModelNamespace(
            name=team,
            server=server.service_account_annotations,
            batch=batch.service_account_annotations,
            annotations=server.namespace_annotations,
        )
