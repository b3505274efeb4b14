"""The function that makes the users of a metadata database and rotates their passwords."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pymysql
from aws_cdk import Acknowledgment, CustomResource, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from ._handler_code import LIBRARY, NETWORK_ACTIONS, SHARED


class MetadataUsers(Construct):
    """One database and user for each secret, made at deployment and rotated every 30 days.

    :param subnets: private subnets, from which the function reaches the database.
    :param instance: the database; RDS keeps the master user's password.
    :param connections: of the database; opened to the function.
    :param secrets: ARNs of the consumers' secrets, by consumer.
    :param definitions: what each secret says of its user; a changed one is set up again.
    :param encryption_key: of the secrets.
    :param log_encryption_key: of the function's log. None: CloudWatch's own key.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        subnets: Sequence[ec2.ISubnet],
        instance: rds.CfnDBInstance,
        connections: ec2.Connections,
        secrets: Mapping[str, str],
        definitions: Mapping[str, str],
        encryption_key: kms.IKey,
        log_encryption_key: kms.IKey | None,
    ) -> None:
        super().__init__(scope, id)
        group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description=f"{self.node.path}: setup and rotation",
            allow_all_outbound=False,
        )
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "Secrets Manager and CloudFormation")
        connections.allow_default_port_from(group, "setup and rotation of passwords")
        master = instance.attr_master_user_secret_secret_arn
        log_group = logs.LogGroup(
            self,
            "Log",
            encryption_key=log_encryption_key,
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = self._role(log_group, encryption_key, master, list(secrets.values()))
        with _code() as folder:
            function = lambda_.Function(
                self,
                "Function",
                description="Makes the databases and users of Kubeflow's services, and rotates their passwords",
                runtime=lambda_.Runtime.PYTHON_3_14,
                architecture=lambda_.Architecture.ARM_64,
                code=lambda_.Code.from_asset(folder),
                handler="handlers.metadata_database.index.handler",
                role=role,
                log_group=log_group,
                timeout=Duration.minutes(5),
                memory_size=256,
                vpc=vpc,
                vpc_subnets=ec2.SubnetSelection(subnets=subnets),
                security_groups=[group],
                environment={"MASTER_SECRET": master},
            )
        self.errors: cloudwatch.Metric = function.metric_errors(period=Duration.minutes(5))
        users = CustomResource(
            self,
            "Users",
            resource_type="Custom::MetadataUsers",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(6),
            properties={
                "Secrets": list(secrets.values()),
                "Host": instance.attr_endpoint_address,  # a new instance has no users
                "Definitions": definitions,
            },
        )
        # The function needs its rights and its way to the database while it works.
        users.node.add_dependency(role, group, *connections.security_groups)
        self._rotate(function, users, secrets)

    def _role(self, log_group: logs.LogGroup, key: kms.IKey, master: str, secrets: list[str]) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        changes = ("DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage")
        for statement in (
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[master, *secrets]),
            iam.PolicyStatement(actions=[f"secretsmanager:{action}" for action in changes], resources=secrets),
            iam.PolicyStatement(
                actions=list(NETWORK_ACTIONS),
                resources=["*"],
                conditions={"StringEquals": {"aws:RequestedRegion": Stack.of(self).region}},
            ),
        ):
            role.add_to_policy(statement)
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="Lambda makes its network interfaces with these; AWS lets them name no resource beforehand",
            )
        )
        return role

    def _rotate(self, function: lambda_.Function, users: CustomResource, secrets: Mapping[str, str]) -> None:
        """Secrets Manager tries a schedule out when it is made, so the users must be there."""
        invoke = lambda_.CfnPermission(
            self,
            "Invoke",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="secretsmanager.amazonaws.com",
            source_account=Stack.of(self).account,
        )
        for name, secret in secrets.items():
            schedule = secretsmanager.CfnRotationSchedule(
                self,
                f"{name.capitalize()}Rotation",
                secret_id=secret,
                rotation_lambda_arn=function.function_arn,
                rotate_immediately_on_update=False,
                rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(automatically_after_days=30),
            )
            schedule.node.add_dependency(users, invoke)


@contextmanager
def _code() -> Iterator[str]:
    """A folder with the handler and the installed MySQL client beside it, until both are staged as an asset."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {path: LIBRARY / path for path in (*SHARED, "handlers/metadata_database")}
        for path, source in {**parts, "pymysql": Path(pymysql.__file__).parent}.items():
            target = Path(folder) / path
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        yield folder
