from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .._arguments import ConfigurationError, checked
from .._functions.handler_function import HandlerFunction
from .._security.acknowledge import acknowledge_wildcard

_NETWORK_ACTIONS = (
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:CreateNetworkInterface",
    "ec2:CreateSecurityGroup",
    "ec2:CreateTags",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteSecurityGroup",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
)


class DirectoryConnector(Construct):
    """An AD Connector to a directory that the enterprise keeps elsewhere; it holds nothing of it.

    A function makes it and waits until it works, because CloudFormation has no resource type for it. The network must
    reach the directory's DNS servers and domain controllers, by VPN or Direct Connect. A change of any value makes
    another connector, and deletes this one when that works.

    https://docs.aws.amazon.com/directoryservice/latest/admin-guide/ad_connector_getting_started.html

    :param vpc: its network; private subnets in two zones at least.
    :param domain_name: name of the directory's domain, such as ``corp.example.com``.
    :param dns_ips: its DNS servers.
    :param credentials: ``username`` and ``password`` of a service account there that may read users and groups.
    :param size: ``Small`` or ``Large``. Default: ``Small``.
    :param log_encryption_key: encrypts the function's log; its policy must admit CloudWatch Logs. Default: CloudWatch's
        own key.
    :param log_retention: retention of that log. Default: one month.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        domain_name: str,
        dns_ips: Sequence[str],
        credentials: secretsmanager.ISecret | secretsmanager.Secret,
        size: Literal["Small", "Large"] = "Small",
        log_encryption_key: kms.IKey | kms.Key | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_MONTH,
    ) -> None:
        super().__init__(scope, id)
        subnets = vpc.private_subnets[:2]
        if len(subnets) < 2:
            raise ConfigurationError(f"{self.node.path}: vpc needs private subnets in two zones, got {len(subnets)}")
        if not dns_ips:
            raise ConfigurationError(f"{self.node.path}: dns_ips is empty; name the directory's DNS servers")

        function = HandlerFunction(
            self,
            "Function",
            description=f"Creates and deletes the connector to {domain_name}",
            folder=Path(__file__).parent / "directory_connector_handler",
            timeout=Duration.minutes(15),  # a connector takes some five
            log_encryption_key=log_encryption_key,
            log_retention=log_retention,
        )
        self._allow(function, credentials)
        self.resource = CustomResource(
            self,
            "Resource",
            resource_type="Custom::DirectoryConnector",
            service_token=function.function_arn,
            service_timeout=Duration.minutes(16),
            properties={
                "Name": domain_name,
                "Size": size,
                "VpcId": vpc.vpc_id,
                "SubnetIds": [subnet.subnet_id for subnet in subnets],
                "DnsIps": list(dns_ips),
                "CredentialsSecretArn": credentials.secret_arn,
            },
        )
        self.resource.node.add_dependency(function, function.execution_role)

    @property
    def directory_id(self) -> str:
        """Id of the directory, such as ``d-1234567890``."""
        return self.resource.ref

    def _allow(self, function: HandlerFunction, credentials: secretsmanager.ISecret) -> None:
        stack, role = Stack.of(self), function.execution_role
        credentials.grant_read(role)
        in_this_region = {"StringEquals": {"aws:RequestedRegion": stack.region}}
        unnamed = ["ds:ConnectDirectory", "ds:DescribeDirectories", *_NETWORK_ACTIONS]
        role.add_to_policy(iam.PolicyStatement(actions=unnamed, resources=["*"], conditions=in_this_region))
        directories = stack.format_arn(service="ds", resource="directory", resource_name="*")
        role.add_to_policy(iam.PolicyStatement(actions=["ds:DeleteDirectory"], resources=[directories]))
        acknowledge_wildcard(
            role,
            "*",
            "Directory Service creates network interfaces with the caller's permissions; their ids are not known yet",
        )
        acknowledge_wildcard(role, directories, "the id is known when the connector is created")
