from collections.abc import Sequence
from typing import Literal

from aws_cdk import Acknowledgment, CustomResource, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from ._handler_code import handler_code

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
    :param log_encryption_key: encrypts the function's log; its policy lets CloudWatch Logs in. Default: CloudWatch's.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        domain_name: str,
        dns_ips: Sequence[str],
        credentials: secretsmanager.ISecret,
        size: Literal["Small", "Large"] = "Small",
        log_encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        subnets = vpc.private_subnets[:2]
        if len(subnets) < 2:
            raise ValueError(f"{self.node.path}: vpc needs private subnets in two zones, got {len(subnets)}")
        if not dns_ips:
            raise ValueError(f"{self.node.path}: dns_ips is empty; name the directory's DNS servers")

        log_group = logs.LogGroup(
            self,
            "Log",
            encryption_key=log_encryption_key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = self._role(log_group, credentials)
        function = lambda_.Function(
            self,
            "Function",
            description=f"Makes and deletes the connector to {domain_name}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=handler_code("directory_connector"),
            handler="handlers.directory_connector.index.handler",
            role=role,
            log_group=log_group,
            timeout=Duration.minutes(15),  # a connector takes some five
        )
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
        self.resource.node.add_dependency(log_group, role)  # they are needed as long as the function may be called

    @property
    def directory_id(self) -> str:
        """Id of the directory, such as ``d-1234567890``."""
        return self.resource.ref

    def _role(self, log_group: logs.LogGroup, credentials: secretsmanager.ISecret) -> iam.Role:
        stack = Stack.of(self)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        credentials.grant_read(role)
        in_this_region = {"StringEquals": {"aws:RequestedRegion": stack.region}}
        unnamed = ["ds:ConnectDirectory", "ds:DescribeDirectories", *_NETWORK_ACTIONS]
        role.add_to_policy(iam.PolicyStatement(actions=unnamed, resources=["*"], conditions=in_this_region))
        directories = stack.format_arn(service="ds", resource="directory", resource_name="*")
        role.add_to_policy(iam.PolicyStatement(actions=["ds:DeleteDirectory"], resources=[directories]))
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="Directory Service makes network interfaces with the caller's rights, by names nobody knows yet",
            ),
            Acknowledgment(
                id=f"AwsSolutions-IAM5[Resource::{directories}]", reason="the id is known when the connector is made"
            ),
        )
        return role
