"""The function that creates the users of a metadata database and rotates their passwords."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pymysql
from aws_cdk import CustomResource, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .._functions.handler_function import HandlerFunction


class MetadataUsers(Construct):
    """One database and user for each secret, created at deployment, with passwords that are rotated every 30 days.

    :param subnets: private subnets, from which the function reaches the database.
    :param instance: the database; RDS keeps the master user's password.
    :param connections: of the database; opened to the function.
    :param secrets: ARNs of the consumers' secrets, by consumer.
    :param definitions: definition of each user; a changed one is set up again.
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
        master = instance.attr_master_user_secret_secret_arn
        function = HandlerFunction(
            self,
            "Function",
            description="Creates the databases and users of Kubeflow's services, and rotates their passwords",
            folder=Path(__file__).parent / "metadata_database_handler",
            include=[Path(pymysql.__file__).parent],
            timeout=Duration.minutes(5),
            memory_size=256,
            environment={"MASTER_SECRET": master},
            vpc=vpc,
            subnets=subnets,
            log_encryption_key=log_encryption_key,
            log_retention=logs.RetentionDays.THREE_MONTHS,
        )
        connections.allow_default_port_from(function, "setup and rotation of passwords")
        self._allow(function, encryption_key, master, list(secrets.values()))
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
        users.node.add_dependency(function, function.execution_role, *function.connections.security_groups)
        users.node.add_dependency(*connections.security_groups)
        self._rotate(function, users, secrets)

    def _allow(self, function: HandlerFunction, key: kms.IKey, master: str, secrets: list[str]) -> None:
        role = function.execution_role
        key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        changes = ("DescribeSecret", "PutSecretValue", "UpdateSecretVersionStage")
        for actions, resources in (
            (["secretsmanager:GetSecretValue"], [master, *secrets]),
            ([f"secretsmanager:{action}" for action in changes], secrets),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))

    def _rotate(self, function: lambda_.Function, users: CustomResource, secrets: Mapping[str, str]) -> None:
        """Secrets Manager tests a schedule when it is created, so the users must exist."""
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
