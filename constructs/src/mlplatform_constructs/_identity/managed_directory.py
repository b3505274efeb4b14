from typing import Literal

from aws_cdk import Acknowledgment, RemovalPolicy, Validations
from aws_cdk import aws_directoryservice as directoryservice
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from .._arguments import ConfigurationError, checked


class ManagedDirectory(Construct):
    """An AWS Managed Microsoft AD, with domain controllers in two zones.

    People of it reach AWS through IAM Identity Center, and the platform through a SAML provider such as AD FS.

    :param vpc: its network; private subnets in two zones at least.
    :param domain_name: name of its domain, such as ``corp.example.com``.
    :param edition: ``Standard`` suits some 5,000 people, ``Enterprise`` for more. Default: ``Standard``.
    :param encryption_key: encrypts the password of its administrator. Default: AWS's own key.
    :param removal_policy: removal policy of people and password. Default: RETAIN.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        domain_name: str,
        edition: Literal["Standard", "Enterprise"] = "Standard",
        encryption_key: kms.IKey | kms.Key | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, id)
        subnets = vpc.private_subnets[:2]
        if len(subnets) < 2:
            raise ConfigurationError(f"{self.node.path}: vpc needs private subnets in two zones, got {len(subnets)}")

        self.admin_secret = secretsmanager.Secret(
            self,
            "Admin",
            description=f"{self.node.path}: administrator of {domain_name}",
            encryption_key=encryption_key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template='{"username": "Admin"}',
                generate_string_key="password",
                password_length=32,
                exclude_characters="\"'\\",
            ),
            removal_policy=removal_policy,
        )
        Validations.of(self.admin_secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SMG4",
                reason="its administrator changes it in the directory, where Secrets Manager cannot follow",
            )
        )
        self.directory = directoryservice.CfnMicrosoftAD(
            self,
            "Directory",
            name=domain_name,
            password=self.admin_secret.secret_value_from_json("password").unsafe_unwrap(),
            edition=edition,
            vpc_settings=directoryservice.CfnMicrosoftAD.VpcSettingsProperty(
                vpc_id=vpc.vpc_id, subnet_ids=[subnet.subnet_id for subnet in subnets]
            ),
        )
        self.directory.apply_removal_policy(removal_policy)
