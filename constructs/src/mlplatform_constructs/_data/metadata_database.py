import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from aws_cdk import Acknowledgment, Duration, Names, RemovalPolicy, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._security.account_grant import grant_in_account
from .metadata_users import MetadataUsers

PORT = 3306
"""The default MySQL port. The service mesh recognizes it as a server-first protocol."""

_CA = "rds-ca-rsa2048-g1"
_ROOTS = Path(__file__).parent / "metadata_database_handler" / "rds_roots.pem"
_LOGS = ("error", "slowquery")


@dataclass(frozen=True)
class MetadataConsumer:
    """A service with its own database for metadata.

    :param user: its MySQL user.
    :param database: the only database that it may use.
    :param authentication: MySQL's authentication plugin for the user.
    """

    user: str
    database: str
    authentication: Literal["caching_sha2_password", "mysql_native_password"] = "caching_sha2_password"


class MetadataDatabase(Construct):
    """RDS for MySQL 8.4 for Kubeflow's services: one database, one user, one secret each.

    The instance has no public address, requires TLS, is encrypted, backed up and, by default, in two zones. Its storage
    grows automatically. Access is granted through ``connections`` only. RDS manages and rotates the master user's
    password. A function creates databases and users at deployment, and rotates their passwords every month. The former
    password remains valid until the next rotation, so that pods have a month to read the new one.

    The instance is named after its construct path, so that CloudFormation refuses to replace it with an empty one.

    :param vpc: network of the database.
    :param encryption_key: encrypts data, backups, performance data and secrets. Default: a new key, rotated yearly.
    :param instance_type: class without ``db.``, medium or larger: smaller ones keep no performance data. Default:
        ``t4g.medium``, 2 vCPU and 4 GiB.
    :param storage_gib: initial storage, 20 or more. It never shrinks. Default: 50.
    :param max_storage_gib: maximum storage, at least a tenth more. Default: 500.
    :param max_connections: concurrent connections; an alarm is raised at 80 %. Default: 300.
    :param backup_days: days for which any moment can be restored, 1 to 35. Default: 14.
    :param highly_available: whether a standby in a second zone takes over within minutes. Default: True.
    :param registries: teams with a model registry, which becomes the consumer ``registry-<team>``. Default: none.
    :param alarm_topic: receives alarms. Default: none; see ``alarms``.
    :param log_encryption_key: encrypts logs; its policy must admit CloudWatch Logs. Default: CloudWatch's own key.
    :param log_retention: how long logs are kept. Default: one year.
    :param removal_policy: removal policy of data and secrets. With any policy but DESTROY, deletion
        protection is on. Default: RETAIN.
    """

    CONSUMERS: ClassVar[dict[str, MetadataConsumer]] = {
        "pipelines": MetadataConsumer("pipelines", "mlpipeline"),
        # MLMD 1.14.0 is built with a client that knows no newer plugin.
        "metadata": MetadataConsumer("metadata", "metadb", "mysql_native_password"),
        "cache": MetadataConsumer("cache", "cachedb"),
        "katib": MetadataConsumer("katib", "katib"),
    }
    CERTIFICATE_AUTHORITIES: ClassVar[Path] = _ROOTS
    """PEM file of the authorities that clients must trust, for all supported regions."""

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        encryption_key: kms.IKey | kms.Key | None = None,
        instance_type: str = "t4g.medium",
        storage_gib: int = 50,
        max_storage_gib: int = 500,
        max_connections: int = 300,
        backup_days: int = 14,
        highly_available: bool = True,
        registries: Sequence[str] = (),
        alarm_topic: sns.ITopic | sns.Topic | None = None,
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        self._check(vpc, instance_type, storage_gib, max_storage_gib, max_connections, backup_days)
        self._check_registries(registries)
        self._key = encryption_key or kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal_policy)
        self._subnets = vpc.private_subnets or vpc.isolated_subnets
        self._removal_policy = removal_policy
        group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description=f"{self.node.path}: database", allow_all_outbound=False
        )
        self.connections = ec2.Connections(security_groups=[group], default_port=ec2.Port.tcp(PORT))

        identifier = Names.unique_resource_name(self, max_length=50, separator="-").lower()
        log_groups = self._log_groups(identifier, log_encryption_key, log_retention)
        self.instance = self._instance(
            identifier,
            group,
            instance_type=instance_type,
            storage_gib=storage_gib,
            max_storage_gib=max_storage_gib,
            max_connections=max_connections,
            backup_days=backup_days,
            highly_available=highly_available,
        )
        self.instance.node.add_dependency(*log_groups)
        group.apply_removal_policy(removal_policy)
        self._acknowledge(highly_available)

        self.consumers = {**self.CONSUMERS, **{f"registry-{team}": self.registry(team) for team in registries}}
        """The services with a user and a database: those of ``CONSUMERS``, and the model registries of teams."""
        self.credentials = {name: self._secret(name, consumer) for name, consumer in self.consumers.items()}
        """Secrets by consumer: ``host``, ``port``, ``dbname``, ``username``, ``password``, ``engine`` and
        ``authentication``, as JSON; ``ref`` is the ARN. Grant with ``grant_read_credentials``."""
        users = MetadataUsers(
            self,
            "Users",
            vpc=vpc,
            subnets=self._subnets,
            instance=self.instance,
            connections=self.connections,
            secrets={name: secret.ref for name, secret in self.credentials.items()},
            definitions={name: f"{c.user} {c.database} {c.authentication}" for name, c in self.consumers.items()},
            encryption_key=self._key,
            log_encryption_key=log_encryption_key,
        )
        self._handler_errors = users.errors
        self._alarm_topic = alarm_topic
        self.alarms = self._alarms(storage_gib, max_connections)
        """Raised when storage no longer grows, when the processor or the connections run out, and when a user cannot
        be made or a password not be rotated."""

    @staticmethod
    def registry(team: str) -> MetadataConsumer:
        """The user and the database of a team's model registry.

        MySQL limits the name of a user to 32 characters, which is shorter than the name of a team may be. A digest
        distinguishes shortened names.
        """
        digest = hashlib.sha256(team.encode()).hexdigest()[:10]
        name = f"registry{re.sub('[^a-z0-9]', '', team)[:14]}{digest}"
        return MetadataConsumer(name, name)

    @checked
    def grant_read_credentials(self, grantee: iam.IGrantable, consumer: str) -> iam.Grant:
        """Allow ``grantee`` to read the secret of one consumer, such as ``pipelines``."""
        if consumer not in self.credentials:
            raise ConfigurationError(
                f"{self.node.path}: no consumer {consumer!r}; there are: {', '.join(self.credentials)}"
            )
        read = grant_in_account(
            self,
            grantee,
            actions=["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
            resources=[self.credentials[consumer].ref],
        )
        decrypt = grant_in_account(
            self,
            grantee,
            actions=["kms:Decrypt"],
            resources=[self._key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"secretsmanager.{Stack.of(self).region}.amazonaws.com"}},
        )
        return read.combine(decrypt)

    def _check(
        self, vpc: ec2.IVpc, instance_type: str, storage: int, max_storage: int, connections: int, days: int
    ) -> None:
        place = self.node.path
        if not is_token(instance_type):
            if not re.fullmatch(r"[a-z0-9]+\.[a-z0-9]+", instance_type) or instance_type.startswith("db."):
                raise ConfigurationError(
                    f"{place}: instance_type must be a class such as 't4g.medium', got {instance_type!r}"
                )
            if instance_type.endswith((".micro", ".small", ".nano")):
                raise ConfigurationError(
                    f"{place}: instance_type must be medium or larger, got {instance_type!r}; "
                    "smaller ones keep no performance data"
                )
        if not is_token(storage) and storage < 20:
            raise ConfigurationError(
                f"{place}: storage_gib must be 20 or more, got {storage}; RDS has no smaller gp3 storage"
            )
        if not is_token(storage) and not is_token(max_storage) and max_storage * 10 < storage * 11:
            raise ConfigurationError(
                f"{place}: max_storage_gib must be at least a tenth more than storage_gib, got {max_storage} "
                f"for {storage}; use {-(-storage * 11 // 10)} or more"
            )
        if not is_token(connections) and not 20 <= connections <= 16000:
            raise ConfigurationError(
                f"{place}: max_connections must be 20 to 16000, got {connections}; Kubeflow needs some 50"
            )
        if not is_token(days) and not 1 <= days <= 35:
            raise ConfigurationError(f"{place}: backup_days must be 1 to 35, got {days}; RDS keeps no more")
        self._check_region()

    def _check_registries(self, teams: Sequence[str]) -> None:
        for number, team in enumerate(teams):
            if team in teams[:number]:
                raise ConfigurationError(
                    f"{self.node.path}: registries has {team!r} more than once; a team has one model registry"
                )

    def _check_region(self) -> None:
        region = Stack.of(self).region
        if not is_token(region) and f"\n# {region}\n" not in _ROOTS.read_text(encoding="ascii"):
            raise ConfigurationError(
                f"{self.node.path}: {_ROOTS.name} has no authority of region {region}; add {_CA} of AWS's bundle to it"
            )

    def _log_groups(
        self, identifier: str, encryption_key: kms.IKey | None, retention: logs.RetentionDays
    ) -> list[logs.LogGroup]:
        """Log groups of the instance, created before RDS would create them without a key or a retention.

        A retained one is deleted with a first deployment that fails: its name would make every further attempt fail.
        """
        keep, asked = RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE, self._removal_policy
        return [
            logs.LogGroup(
                self,
                f"{name.capitalize()}Log",
                log_group_name=f"/aws/rds/instance/{identifier}/{name}",
                encryption_key=encryption_key,
                retention=retention,
                removal_policy=keep if asked is RemovalPolicy.RETAIN else asked,
            )
            for name in _LOGS
        ]

    def _instance(
        self,
        identifier: str,
        security_group: ec2.SecurityGroup,
        *,
        instance_type: str,
        storage_gib: int,
        max_storage_gib: int,
        max_connections: int,
        backup_days: int,
        highly_available: bool,
    ) -> rds.CfnDBInstance:
        keeps = self._removal_policy != RemovalPolicy.DESTROY
        instance = rds.CfnDBInstance(
            self,
            "Instance",
            db_instance_identifier=identifier,
            engine="mysql",
            engine_version="8.4",
            auto_minor_version_upgrade=True,
            db_instance_class=f"db.{instance_type}",
            multi_az=highly_available,
            storage_type="gp3",
            allocated_storage=str(storage_gib),
            max_allocated_storage=max_storage_gib,
            storage_encrypted=True,
            kms_key_id=self._key.key_arn,
            master_username="master",
            manage_master_user_password=True,
            master_user_secret=rds.CfnDBInstance.MasterUserSecretProperty(kms_key_id=self._key.key_arn),
            enable_iam_database_authentication=True,
            ca_certificate_identifier=_CA,
            db_parameter_group_name=self._parameters(max_connections),
            db_subnet_group_name=self._subnet_group(),
            vpc_security_groups=[security_group.security_group_id],
            port=str(PORT),
            publicly_accessible=False,
            backup_retention_period=backup_days,
            copy_tags_to_snapshot=True,
            delete_automated_backups=not keeps,
            deletion_protection=keeps,
            enable_cloudwatch_logs_exports=list(_LOGS),
            enable_performance_insights=True,
            performance_insights_kms_key_id=self._key.key_arn,
            performance_insights_retention_period=7,
        )
        instance.apply_removal_policy(self._removal_policy)
        # A major version alone leaves the minor to RDS, which upgrades it; cfn-lint knows exact versions only.
        instance.add_metadata("cfn-lint", {"config": {"ignore_checks": ["E3691"]}})
        return instance

    def _parameters(self, max_connections: int) -> str:
        group = rds.CfnDBParameterGroup(
            self,
            "Parameters",
            family="mysql8.4",
            description=f"{self.node.path}: TLS only, slow statements logged",
            parameters={
                "require_secure_transport": "1",
                "max_connections": str(max_connections),
                "slow_query_log": "1",
                "long_query_time": "2",
                "log_output": "FILE",  # else RDS has nothing to send to CloudWatch
            },
        )
        group.apply_removal_policy(self._removal_policy)
        return group.ref

    def _subnet_group(self) -> str:
        group = rds.CfnDBSubnetGroup(
            self,
            "Subnets",
            db_subnet_group_description=f"{self.node.path}: private subnets",
            subnet_ids=[subnet.subnet_id for subnet in self._subnets],
        )
        group.apply_removal_policy(self._removal_policy)
        return group.ref

    def _acknowledge(self, highly_available: bool) -> None:
        reasons = {
            "AwsSolutions-RDS11": "the service mesh recognizes 3306 as a server-first protocol",
            "CloudFormation-Validate::E9006": "a major version alone leaves the minor to RDS, which upgrades it",
        }
        if not highly_available:
            reasons["AwsSolutions-RDS3"] = "a single zone was requested, which accepts the time of a restore"
        if self._removal_policy == RemovalPolicy.DESTROY:
            reasons["AwsSolutions-RDS10"] = "DESTROY was requested, which deletes it with its stack"
        for id, reason in reasons.items():
            Validations.of(self.instance).acknowledge(Acknowledgment(id=id, reason=reason))

    def _secret(self, name: str, consumer: MetadataConsumer) -> secretsmanager.CfnSecret:
        secret = secretsmanager.CfnSecret(
            self,
            f"{name.capitalize()}Secret",
            description=f"{self.node.path}: login of {name}",
            kms_key_id=self._key.key_arn,
            generate_secret_string=secretsmanager.CfnSecret.GenerateSecretStringProperty(
                secret_string_template=Stack.of(self).to_json_string(
                    {
                        "engine": "mysql",
                        "host": self.instance.attr_endpoint_address,
                        "port": PORT,
                        "dbname": consumer.database,
                        "username": consumer.user,
                        "authentication": consumer.authentication,
                    }
                ),
                generate_string_key="password",
                password_length=32,
                exclude_punctuation=True,
            ),
        )
        secret.apply_removal_policy(self._removal_policy)
        return secret

    def _alarms(self, storage_gib: int, max_connections: int) -> tuple[cloudwatch.Alarm, ...]:
        below = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
        above = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        free = self._metric("FreeStorageSpace", "Minimum")
        return (
            # RDS lets storage grow at a tenth; half of that is left when it cannot, or not fast enough.
            self._alarm("StorageLow", free, storage_gib * 2**30 * 0.05, below, "storage is used up and grows no more"),
            self._alarm("ProcessorBusy", self._metric("CPUUtilization", "Average"), 80, above, "the processor is busy"),
            self._alarm(
                "ConnectionsHigh",
                self._metric("DatabaseConnections", "Maximum"),
                max_connections * 0.8,
                above,
                "connections are running out",
            ),
            self._alarm(
                "HandlerFailed",
                self._handler_errors,
                1,
                above,
                "a password was not rotated; the current one remains valid",
                periods=1,
            ),
        )

    def _metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name=name,
            dimensions_map={"DBInstanceIdentifier": self.instance.ref},
            statistic=statistic,
            period=Duration.minutes(5),
        )

    def _alarm(
        self,
        id: str,
        metric: cloudwatch.Metric,
        threshold: float,
        operator: cloudwatch.ComparisonOperator,
        meaning: str,
        *,
        periods: int = 3,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            id,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=operator,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"{self.node.path}: {meaning}.",
        )
        if self._alarm_topic:
            alarm.add_alarm_action(actions.SnsAction(self._alarm_topic))
        return alarm
