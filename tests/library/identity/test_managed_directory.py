import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ManagedDirectory
from tests.compliance import assert_complies
from tests.sign_in import network

DOMAIN = "corp.example.com"


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    ManagedDirectory(stack, "Directory", vpc=network(stack), domain_name=DOMAIN)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("enterprise-directory")
def test_domain_controllers_are_private_and_in_two_zones(stack: cdk.Stack) -> None:
    ManagedDirectory(stack, "Directory", vpc=network(stack), domain_name=DOMAIN, edition="Enterprise")
    Template.from_stack(stack).has_resource_properties(
        "AWS::DirectoryService::MicrosoftAD",
        {
            "Name": DOMAIN,
            "Edition": "Enterprise",
            "VpcSettings": {"VpcId": "vpc-1", "SubnetIds": ["private-a", "private-b"]},
        },
    )


@pytest.mark.promise("no-long-lived-keys")
def test_the_administrators_password_is_made_by_aws_and_in_no_template(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    ManagedDirectory(stack, "Directory", vpc=network(stack), domain_name=DOMAIN, encryption_key=key)
    template = Template.from_stack(stack)
    (directory,) = template.find_resources("AWS::DirectoryService::MicrosoftAD").values()
    password = directory["Properties"]["Password"]["Fn::Join"][1]
    assert password[0] == "{{resolve:secretsmanager:"
    assert password[-1] == ":SecretString:password::}}"
    template.has_resource_properties("AWS::SecretsManager::Secret", {"KmsKeyId": stack.resolve(key.key_arn)})


def test_people_outlive_the_stack_by_default(stack: cdk.Stack) -> None:
    vpc = network(stack)
    ManagedDirectory(stack, "Kept", vpc=vpc, domain_name=DOMAIN)
    ManagedDirectory(stack, "Gone", vpc=vpc, domain_name=DOMAIN, removal_policy=cdk.RemovalPolicy.DESTROY)
    found = Template.from_stack(stack).to_json()["Resources"]
    for id, resource in found.items():
        assert resource["DeletionPolicy"] == ("Retain" if id.startswith("Kept") else "Delete")


def test_refuses_a_network_of_one_zone(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack, "Small", vpc_id="vpc-1", availability_zones=["eu-west-1a"], private_subnet_ids=["private-a"]
    )
    with pytest.raises(ValueError, match="Test/Directory: vpc needs private subnets in two zones, got 1"):
        ManagedDirectory(stack, "Directory", vpc=vpc, domain_name=DOMAIN)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    ManagedDirectory(stack, "Directory", vpc=network(stack), domain_name=DOMAIN)
    assert_complies(app)
