"""The two places in which Kubeflow keeps its state: the account's database and bucket, or pods with disks."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cdk8s
from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from charts.kit.chart import ComponentChart
from charts.kit.stores import ArtifactStore, Database
from charts.kubeflow.database_access.objects import NAMESPACE, DatabaseAccess
from charts.kubeflow.database_access.renewal import LoginRenewal
from charts.kubeflow.model_registry import objects as model_registry
from charts.kubeflow.mysql import objects as mysql
from charts.kubeflow.mysql.objects import MySql, Owner
from charts.kubeflow.seaweedfs import objects as seaweedfs
from charts.kubeflow.seaweedfs.objects import SeaweedFs
from mlplatform_constructs import DataBucket, EncryptionKeys, MetadataDatabase, WorkloadRole
from stacks._wiring.data_protection import DataProtection
from stacks._wiring.output_reference import refer_by_output

from ..._wiring.installer import Installer

CLIENTS = {
    "pipelines": "pipelines-api",
    "metadata": "pipelines-metadata",
    "cache": "pipelines-cache",
    "katib": "katib-db-manager",
}
"""The services with a database, each with the name of its role in the catalog."""
_BUCKET = "mlpipeline"
_REGION_OF_SEAWEEDFS = "us-east-1"  # what the server calls its own


@dataclass(frozen=True, kw_only=True)
class RegistryDatabase:
    """The database of one team's model registry.

    :param host: of the server.
    :param name: of the database.
    :param secret_arn: secret with ``username`` and ``password``.
    :param grant_read: allows a role to read the secret.
    :param authorities: PEM bundle of the server's authorities. Default: none; the server is in the mesh.
    :param rotated: whether the password is rotated.
    """

    host: str
    name: str
    secret_arn: str
    grant_read: Callable[[iam.IGrantable], object]
    authorities: Path | None = None
    rotated: bool = False

    def access(self, app: cdk8s.App, team: str, *, region: str) -> DatabaseAccess:
        """The objects in the namespace of the team by which its registry connects."""
        return DatabaseAccess(
            app,
            f"RegistryDatabase-{team}",
            host=self.host,
            names={model_registry.DATABASE: self.name},
            secret_arns={model_registry.DATABASE: self.secret_arn},
            region=region,
            authorities=self.authorities,
            namespace=team,
        )


@dataclass(frozen=True, kw_only=True)
class StateCharts:
    """What a place of state installs, and how services reach it.

    :param databases: of each service in ``CLIENTS``.
    :param keys: secrets with the keys of the bucket for pods of teams, by team. Default: none; they have roles.
    :param registries: databases of model registries, by team. Default: none.
    :param after: what must be deployed before pods that use it.
    """

    charts: Sequence[ComponentChart]
    databases: Mapping[str, Database]
    artifacts: ArtifactStore
    keys: Mapping[str, secretsmanager.Secret] = field(default_factory=dict)
    registries: Mapping[str, RegistryDatabase] = field(default_factory=dict)
    after: Sequence[IDependable] = field(default_factory=list)


class State(Protocol):
    """A place of state."""

    def charts(self, stack: Stack, installer: Installer, app: cdk8s.App) -> StateCharts:
        """The servers in the cluster, or what is needed to reach those outside of it."""


@dataclass(frozen=True, kw_only=True)
class AwsState:
    """The metadata database and the artifact bucket of the account. Each service has a user and a role of its own.

    Other stacks read values of the database's stack and of the bucket's by output, so that a setting
    can move the state.

    :param artifacts: Pipelines keeps the specifications of pipelines under ``pipelines/``, and what the runs of a team
        store is under the name of the team.
    :param registries: teams with a model registry.
    """

    database: MetadataDatabase
    artifacts: DataBucket
    registries: Sequence[str] = ()

    def charts(self, stack: Stack, installer: Installer, app: cdk8s.App) -> StateCharts:
        database = self.database
        scope = Construct(stack, "State")
        roles = {service: installer.role(scope, service.capitalize(), need) for service, need in CLIENTS.items()}
        for service, role in roles.items():
            database.grant_read_credentials(role, service)
        page = installer.role(scope, "Page", "pipelines-ui")
        self._grant_objects(api=roles["pipelines"], page=page)
        opened = self._open(scope, installer)
        access = DatabaseAccess(
            app,
            "DatabaseAccess",
            host=database.instance.attr_endpoint_address,
            names={service: MetadataDatabase.CONSUMERS[service].database for service in CLIENTS},
            secret_arns={service: database.credentials[service].ref for service in CLIENTS},
            region=installer.region,
            authorities=MetadataDatabase.CERTIFICATE_AUTHORITIES,
        )
        renewal = LoginRenewal(
            app,
            "LoginRenewal",
            namespace=NAMESPACE,
            # Their Deployments have the names of their service accounts.
            deployments=[installer.catalog.role(need).service_account for need in CLIENTS.values()],
            image=installer.images.reference("kubectl"),
            placement=installer.placement,
        )
        return StateCharts(
            charts=[access, renewal],
            databases=access.databases,
            artifacts=ArtifactStore(bucket=self.artifacts.bucket.bucket_name, region=installer.region),
            registries={team: self._registry(team) for team in self.registries},
            after=[opened, *installer.settled(*roles.values(), page)],
        )

    def _registry(self, team: str) -> RegistryDatabase:
        consumer = f"registry-{team}"
        return RegistryDatabase(
            host=self.database.instance.attr_endpoint_address,
            name=self.database.consumers[consumer].database,
            secret_arn=self.database.credentials[consumer].ref,
            grant_read=lambda role: self.database.grant_read_credentials(role, consumer),
            authorities=MetadataDatabase.CERTIFICATE_AUTHORITIES,
            rotated=True,
        )

    def _grant_objects(self, *, api: WorkloadRole, page: WorkloadRole) -> None:
        """The API server checks at its start whether the bucket exists, which is a right to list it."""
        artifacts = self.artifacts
        artifacts.grant_list(api)
        for prefix in ("pipelines/*", "*/pipelines/*"):
            artifacts.grant_read(api, prefix, listing=False)
        for grant in (artifacts.grant_write, artifacts.grant_delete):
            grant(api, "pipelines/*")
        artifacts.grant_read(page, "*/logs/*")

    def _open(self, scope: Construct, installer: Installer) -> ec2.CfnSecurityGroupIngress:
        """A rule of this stack, so that the database's stack does not depend on the cluster."""
        (group,) = self.database.connections.security_groups
        return ec2.CfnSecurityGroupIngress(
            scope,
            "FromCluster",
            group_id=group.security_group_id,
            source_security_group_id=installer.cluster.security_group.security_group_id,
            ip_protocol="tcp",
            from_port=mysql.PORT,
            to_port=mysql.PORT,
            description="Kubeflow",
        )


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """MySQL and SeaweedFS in the cluster, each with one disk, and with secrets that Secrets Manager generates.

    They have no replica and no backup, and the disks remain when the stack is deleted.

    :param protection: its key encrypts the secrets.
    :param teams: each has keys of its own for what its runs store.
    :param registries: teams with a model registry.
    """

    STORAGE_GIB: ClassVar[int] = 20

    protection: DataProtection
    teams: Sequence[str]
    registries: Sequence[str] = ()

    def charts(self, stack: Stack, installer: Installer, app: cdk8s.App) -> StateCharts:
        scope = Construct(stack, "State")
        passwords = self._secret(scope, "Passwords", '{"username": "kubeflow"}', "password")
        root = self._secret(scope, "RootPassword", "{}", "root_password")
        keys = {user: self._keys(scope, user) for user in ("kubeflow", *self.teams)}
        owners = {team: self._owner(scope, team) for team in self.registries}
        roles = {name: installer.role(scope, name, name) for name in (mysql.NAME, seaweedfs.NAME)}
        read = [passwords, root, *owners.values()]
        EncryptionKeys.grant_read_secrets(roles[mysql.NAME], self.protection.keys.metadata, read)
        EncryptionKeys.grant_read_secrets(roles[seaweedfs.NAME], self.protection.keys.metadata, [*keys.values()])
        store: dict[str, Any] = {
            "region": installer.region,
            "storage_gib": self.STORAGE_GIB,
            "placement": installer.placement,
        }
        names = {service: MetadataDatabase.CONSUMERS[service].database for service in CLIENTS}
        charts = [
            MySql(
                app,
                "MySql",
                image=installer.images.reference("mysql"),
                databases=list(names.values()),
                secret_arn=passwords.secret_arn,
                root_secret_arn=root.secret_arn,
                clients=[installer.catalog.role(need).service_account for need in CLIENTS.values()],
                owners=[
                    Owner(
                        name=MetadataDatabase.registry(team).user,
                        secret_arn=secret.secret_arn,
                        namespace=team,
                        service_account=model_registry.ACCOUNT,
                        workload=model_registry.SERVER,
                    )
                    for team, secret in owners.items()
                ],
                **store,
            ),
            SeaweedFs(
                app,
                "SeaweedFs",
                image=installer.images.reference("seaweedfs"),
                bucket=_BUCKET,
                secret_arn=keys["kubeflow"].secret_arn,
                team_secret_arns={team: keys[team].secret_arn for team in self.teams},
                clients=["ml-pipeline", "ml-pipeline-ui"],
                **store,
            ),
        ]
        return StateCharts(
            charts=charts,
            databases={
                service: Database(host=mysql.HOST, name=name, secret=mysql.NAME) for service, name in names.items()
            },
            artifacts=ArtifactStore(
                bucket=_BUCKET,
                region=_REGION_OF_SEAWEEDFS,
                host=seaweedfs.HOST,
                port=seaweedfs.PORT,
                secure=False,
                keys=seaweedfs.NAME,
            ),
            keys={team: keys[team] for team in self.teams},
            registries={team: self._registry(team, secret) for team, secret in owners.items()},
            after=installer.settled(*roles.values()),
        )

    def _registry(self, team: str, secret: secretsmanager.Secret) -> RegistryDatabase:
        key = self.protection.keys.metadata
        return RegistryDatabase(
            host=mysql.HOST,
            name=MetadataDatabase.registry(team).database,
            secret_arn=secret.secret_arn,
            grant_read=lambda role: EncryptionKeys.grant_read_secrets(role, key, [secret]),
        )

    def _owner(self, scope: Construct, team: str) -> secretsmanager.Secret:
        """The secret of a registry's login. Other stacks refer to it by output, as to the keys."""
        template = json.dumps({"username": MetadataDatabase.registry(team).user})
        secret = self._secret(scope, f"Registry-{team}", template, "password")
        refer_by_output(secret)
        return secret

    def _keys(self, scope: Construct, user: str) -> secretsmanager.Secret:
        """Keys of a user of SeaweedFS, which other stacks read by output: another option removes them."""
        secret = self._secret(scope, f"Keys-{user}", json.dumps({"accessKey": user}), "secretKey")
        refer_by_output(secret)
        return secret

    def _secret(self, scope: Construct, id: str, template: str, key: str) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            scope,
            id,
            encryption_key=self.protection.keys.metadata,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template=template,
                generate_string_key=key,
                exclude_punctuation=True,
                password_length=32,
            ),
            removal_policy=self.protection.removal_policy,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SMG4",
                reason="the server takes it over while its disk is empty; a new value has to be set in the server, too",
            )
        )
        return secret
