import functools
import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from aws_cdk import CustomResource, Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_mwaa as mwaa
from constructs import Construct

from .._arguments import ConfigurationError, checked, is_token
from .._functions.handler_function import HandlerFunction
from .._security.account_grant import Arns, Permission, grant_permissions
from .._security.encryption_keys import EncryptionKeys
from .._security.service_principal import service_principal
from .._storage.access_log_bucket import AccessLogBucket
from .._storage.data_bucket import DataBucket

AirflowVersion = Literal["2.10.3", "2.11.0", "3.0.6"]
AirflowClass = Literal["mw1.micro", "mw1.small", "mw1.medium", "mw1.large", "mw1.xlarge", "mw1.2xlarge"]

_PREFIX = "dags/"
_LOGS = {
    "DAGProcessing": "dag_processing_logs",
    "Scheduler": "scheduler_logs",
    "Task": "task_logs",
    "WebServer": "webserver_logs",
    "Worker": "worker_logs",
}
"""The property that enables each log group, by the last part of the name of the group."""
_OPTION = re.compile(r"[a-z_]+\.[a-z_0-9]+")
_MAX_WORKERS = 25
"""https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-quotas.html"""


class AirflowEnvironment(Construct):
    """An environment of Amazon MWAA: Apache Airflow with a web server that is reachable in the VPC only.

    The environment has its own KMS key, which encrypts its bucket, its log groups, and what MWAA stores for it. DAGs
    are copied to the bucket at deployment; files that others store there remain. The execution role has the permissions
    that MWAA needs and no others: grant it those that the DAGs need.

    MWAA charges for each hour of an environment, used or not, and creates two endpoints in the VPC. A network without
    NAT gateways also needs the endpoints of ``AirflowEnvironment.ENDPOINTS``.

    - ``environment``: the environment.
    - ``bucket``: its bucket, with the DAGs below ``dags/``.
    - ``execution_role``: role of DAGs and tasks.
    - ``connections``: of the security group, which allows HTTPS to any address, and the environment's own traffic.

    :param vpc: network with private subnets in two zones at least; the environment uses the first two.
    :param dags: local folder with the DAGs.
    :param packages: local folders of Python packages that the DAGs import. Default: none.
    :param version: of Airflow. MWAA upgrades an environment in place, and cannot downgrade it. Default: 3.0.6.
    :param environment_class: size of workers, schedulers and web servers. Default: ``mw1.small``.
    :param min_workers: workers that always run. Default: 1.
    :param max_workers: workers to which MWAA scales, at most 25. Default: 2; ``mw1.micro`` has 1.
    :param options: options of Airflow such as ``core.default_timezone``. Default: none.
    :param access_logs: bucket of server access logs. Default: a new one.
    :param log_retention: retention of the logs. Default: one year.
    :param removal_policy: removal policy of bucket, key and logs. Default: RETAIN.
    :raises ConfigurationError: for numbers of workers that MWAA refuses, an option without its section, fewer than two
        private subnets, or folders without Python files or with files of one name.
    """

    ENDPOINTS: ClassVar[Sequence[str]] = (
        "airflow.api",
        "airflow.env",
        "airflow.ops",
        "ecr.api",
        "ecr.dkr",
        "kms",
        "logs",
        "monitoring",
        "sqs",
    )
    """Services that MWAA and DAGs call.

    https://docs.aws.amazon.com/mwaa/latest/userguide/vpc-vpe-create-access.html
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        dags: str,
        packages: Sequence[str] = (),
        version: AirflowVersion = "3.0.6",
        environment_class: AirflowClass = "mw1.small",
        min_workers: int = 1,
        max_workers: int | None = None,
        options: Mapping[str, str] | None = None,
        access_logs: AccessLogBucket | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        micro = environment_class == "mw1.micro"
        most = max_workers if max_workers is not None else 1 if micro else max(2, min_workers)
        self._check_workers(environment_class, min_workers, most)
        self._check_options(options or {})
        subnets = self._subnets(vpc)
        files = _files(self.node.path, dags, packages)

        self._name = f"{self.node.id}-{self.node.addr[-8:]}"
        self._key = self._create_key(removal_policy)
        self.bucket = DataBucket(
            self, "Data", encryption_key=self._key, access_logs=access_logs, removal_policy=removal_policy
        )
        self.execution_role = self._role()
        group = self._security_group(vpc)
        self.connections = group.connections
        deployed = self._deploy(files, [Path(each).name for each in packages], log_retention, removal_policy)
        log_groups = self._log_groups(log_retention, removal_policy)
        self.environment = mwaa.CfnEnvironment(
            self,
            "Environment",
            name=self._name,
            airflow_version=version,
            environment_class=environment_class,
            min_workers=min_workers,
            max_workers=most,
            execution_role_arn=self.execution_role.role_arn,
            kms_key=self._key.key_arn,
            source_bucket_arn=self.bucket.bucket.bucket_arn,
            dag_s3_path=_PREFIX.rstrip("/"),
            webserver_access_mode="PRIVATE_ONLY",
            endpoint_management="SERVICE",
            network_configuration=mwaa.CfnEnvironment.NetworkConfigurationProperty(
                security_group_ids=[group.security_group_id],
                subnet_ids=[subnet.subnet_id for subnet in subnets[:2]],
            ),
            logging_configuration=_logging(),
            airflow_configuration_options=dict(options) if options else None,
        )
        # MWAA verifies the role. It would create missing log groups itself, and nothing would delete them.
        self.environment.node.add_dependency(self.execution_role, *log_groups, deployed)

    def _subnets(self, vpc: ec2.IVpc) -> Sequence[ec2.ISubnet]:
        subnets = vpc.private_subnets or vpc.isolated_subnets
        if len(subnets) < 2:
            raise ConfigurationError(f"{self.node.path}: vpc needs private subnets in two zones, got {len(subnets)}")
        return subnets

    def _create_key(self, removal_policy: RemovalPolicy) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description=f"{self.node.path}: Airflow",
            enable_key_rotation=True,
            pending_window=Duration.days(7),
            removal_policy=removal_policy,
        )
        EncryptionKeys.let_log_groups_use(key)
        return key

    def _log_groups(self, retention: logs.RetentionDays, removal_policy: RemovalPolicy) -> list[logs.LogGroup]:
        return [
            logs.LogGroup(
                self,
                f"{name}Log",
                log_group_name=f"airflow-{self._name}-{name}",
                encryption_key=self._key,
                retention=retention,
                removal_policy=removal_policy,
            )
            for name in _LOGS
        ]

    def _check_workers(self, environment_class: str, least: int, most: int) -> None:
        if is_token([least, most]):
            return
        if environment_class == "mw1.micro" and (least, most) != (1, 1):
            raise ConfigurationError(
                f"{self.node.path}: mw1.micro has one worker, got min_workers {least} and max_workers {most}; choose "
                "mw1.small"
            )
        if not 1 <= least <= most <= _MAX_WORKERS:
            raise ConfigurationError(
                f"{self.node.path}: min_workers and max_workers must be 1 to {_MAX_WORKERS}, the smaller first, got "
                f"{least} and {most}"
            )

    def _check_options(self, options: Mapping[str, str]) -> None:
        for name in options:
            if not _OPTION.fullmatch(name):
                raise ConfigurationError(
                    f"{self.node.path}: options has {name!r}; write section and name, such as 'core.default_timezone'"
                )

    def _role(self) -> iam.Role:
        """https://docs.aws.amazon.com/mwaa/latest/userguide/mwaa-create-role.html"""
        principals = [service_principal(self, f"{name}.amazonaws.com") for name in ("airflow", "airflow-env")]
        role = iam.Role(
            self, "Role", description="Airflow: DAGs and tasks", assumed_by=iam.CompositePrincipal(*principals)
        )
        arns, bucket = Arns.of(self), self.bucket.bucket
        self.bucket.grant_read(role)
        grant_permissions(
            self,
            role,
            [
                Permission(
                    actions=["airflow:PublishMetrics"],
                    resources=[arns.regional("airflow", f"environment/{self._name}")],
                ),
                Permission(
                    actions=["s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning"], resources=[bucket.bucket_arn]
                ),
                Permission(
                    actions=["s3:GetAccountPublicAccessBlock", "logs:DescribeLogGroups"],
                    resources=["*"],
                    why="settings of the account and lists have no resource",
                ),
                Permission(
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    why="metrics have no resource",
                ),
                Permission(
                    actions=[
                        "logs:CreateLogGroup",
                        "logs:CreateLogStream",
                        "logs:GetLogEvents",
                        "logs:GetLogGroupFields",
                        "logs:GetLogRecord",
                        "logs:GetQueryResults",
                        "logs:PutLogEvents",
                    ],
                    resources=[arns.regional("logs", f"log-group:airflow-{self._name}-*")],
                    why="the log groups of this environment, and streams that Airflow names by task and attempt",
                ),
                Permission(
                    actions=[
                        "sqs:ChangeMessageVisibility",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                        "sqs:GetQueueUrl",
                        "sqs:ReceiveMessage",
                        "sqs:SendMessage",
                    ],
                    resources=[f"arn:{arns.partition}:sqs:{arns.region}:*:airflow-celery-*"],
                    why="the queue of an environment is in an account of MWAA, which names it",
                ),
                Permission(
                    actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
                    resources=[self._key.key_arn],
                    conditions={"StringEquals": {"kms:ViaService": f"sqs.{arns.region}.amazonaws.com"}},
                ),
            ],
        )
        return role

    def _security_group(self, vpc: ec2.IVpc) -> ec2.SecurityGroup:
        """https://docs.aws.amazon.com/mwaa/latest/userguide/vpc-security.html"""
        group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description=f"{self.node.path}: Airflow", allow_all_outbound=False
        )
        for port, what in ((443, "web server"), (5432, "metadata database")):
            group.add_ingress_rule(group, ec2.Port.tcp(port), f"{what} of the environment")
        group.add_egress_rule(group, ec2.Port.tcp(5432), "metadata database of the environment")
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS, Kubeflow, web server of the environment")
        return group

    def _deploy(
        self,
        files: Mapping[str, str],
        packages: Sequence[str],
        log_retention: logs.RetentionDays,
        removal_policy: RemovalPolicy,
    ) -> CustomResource:
        function = HandlerFunction(
            self,
            "Deploy",
            description="Copies DAGs to the bucket of Airflow",
            folder=Path(__file__).parent / "airflow_dags_handler",
            include=[_staged(files)],
            timeout=Duration.minutes(5),
            memory_size=256,
            log_encryption_key=self._key,
            log_retention=log_retention,
            log_removal_policy=removal_policy,
        )
        writing = self.bucket.grant_write(function.execution_role, f"{_PREFIX}*")
        deleting = self.bucket.grant_delete(function.execution_role, f"{_PREFIX}*")
        deployed = CustomResource(
            self,
            "Dags",
            resource_type="Custom::AirflowDags",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(6),
            properties={
                "Bucket": self.bucket.bucket.bucket_name,
                "Prefix": _PREFIX,
                "Files": {name: _digest(Path(path)) for name, path in files.items()},
                "Ignored": "".join(f"{name}/\n" for name in packages),
            },
        )
        # The function keeps its permissions until it has deleted the files, and the bucket is emptied after that.
        deployed.node.add_dependency(function, function.execution_role, self.bucket)
        for grant in (writing, deleting):
            grant.apply_before(deployed)
        return deployed


def _logging() -> mwaa.CfnEnvironment.LoggingConfigurationProperty:
    level = mwaa.CfnEnvironment.ModuleLoggingConfigurationProperty(enabled=True, log_level="INFO")
    return mwaa.CfnEnvironment.LoggingConfigurationProperty(**{each: level for each in _LOGS.values()})


def _files(place: str, dags: str, packages: Sequence[str]) -> dict[str, str]:
    """The path of each file, by its name below ``dags/``.

    :raises ConfigurationError: for a folder that does not exist, has no Python file, or repeats a name.
    """
    found: dict[str, str] = {}
    for given in (dags, *packages):
        folder = Path(given)
        root = folder if given == dags else folder.parent
        files = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
        if not files:
            what = "has no Python file" if folder.is_dir() else "is not a folder"
            raise ConfigurationError(f"{place}: {given} {what}; name a folder with Python files")
        for path in files:
            name = path.relative_to(root).as_posix()
            if name in found:
                raise ConfigurationError(f"{place}: {name} is in {dags} and in packages; rename one")
            found[name] = str(path.resolve())
    return found


def _staged(files: Mapping[str, str]) -> Path:
    """A temporary folder ``dags`` with copies of the files, which is deleted when this process ends."""
    root = Path(tempfile.mkdtemp(dir=_temporary().name)) / "dags"
    for name, path in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return root


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mlplatform-dags-")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
