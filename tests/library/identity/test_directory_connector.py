import io
import json
import time
from collections.abc import Iterator
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Template
from botocore.stub import Stubber
from syrupy.assertion import SnapshotAssertion
from syrupy.matchers import path_type

from mlplatform_constructs import DirectoryConnector
from mlplatform_constructs._identity.directory_connector_handler import index
from mlplatform_constructs._identity.directory_connector_handler.index import Connector
from tests.compliance import assert_complies
from tests.policies import allows, identity_statements
from tests.sign_in import network

SECRET = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:joiner-AbCdEf"
PROPERTIES = {
    "Name": "corp.example.com",
    "Size": "Small",
    "VpcId": "vpc-1",
    "SubnetIds": ["private-a", "private-b"],
    "DnsIps": ["10.0.0.10"],
    "CredentialsSecretArn": SECRET,
}
ID = "d-1234567890"


def connector(stack: cdk.Stack, **options: Any) -> DirectoryConnector:
    return DirectoryConnector(
        stack,
        "Connector",
        **{
            "vpc": network(stack),
            "domain_name": "corp.example.com",
            "dns_ips": ["10.0.0.10"],
            "credentials": secretsmanager.Secret.from_secret_complete_arn(stack, "Credentials", SECRET),
            **options,
        },
    )


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    connector(stack)
    template = Template.from_stack(stack).to_json()["Resources"]
    assert template == snapshot_json(matcher=path_type({".*S3Key": (str,)}, regex=True))


@pytest.mark.promise("enterprise-directory", "no-long-lived-keys")
def test_the_function_receives_the_arn_of_the_password_only(stack: cdk.Stack) -> None:
    connector(stack)
    template = Template.from_stack(stack)
    template.has_resource_properties("Custom::DirectoryConnector", PROPERTIES)
    (role,) = template.find_resources("AWS::IAM::Role")
    statements = identity_statements(template, role)
    assert allows(statements, "secretsmanager:GetSecretValue", SECRET)
    assert not allows(statements, "secretsmanager:GetSecretValue", f"{SECRET}2")


def test_the_function_acts_in_its_region_only(stack: cdk.Stack) -> None:
    connector(stack)
    template = Template.from_stack(stack)
    (role,) = template.find_resources("AWS::IAM::Role")
    statements = identity_statements(template, role)
    assert allows(statements, "ds:ConnectDirectory", "*", aws__RequestedRegion="eu-west-1")
    assert not allows(statements, "ds:ConnectDirectory", "*", aws__RequestedRegion="us-east-1")


def test_refuses_a_network_of_one_zone(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack, "Small", vpc_id="vpc-1", availability_zones=["eu-west-1a"], private_subnet_ids=["private-a"]
    )
    with pytest.raises(ValueError, match="Test/Connector: vpc needs private subnets in two zones, got 1"):
        connector(stack, vpc=vpc)


def test_refuses_a_directory_without_reachable_dns(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Connector: dns_ips is empty; name the directory's DNS servers"):
        connector(stack, dns_ips=[])


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    connector(stack)
    assert_complies(app)


class Aws:
    """Directory Service and Secrets Manager that expect calls in order."""

    def __init__(self) -> None:
        self.ds = boto3.client("ds", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
        self.secrets = boto3.client(
            "secretsmanager", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.expected, self._secret = Stubber(self.ds), Stubber(self.secrets)
        credentials = {"SecretString": json.dumps({"username": "joiner", "password": "Secret-1"})}
        self._secret.add_response("get_secret_value", credentials, {"SecretId": SECRET})
        self.expected.activate()
        self._secret.activate()
        self.waited: list[float] = []

    def connector(self, seconds: float = 600) -> Connector:
        return Connector(self.ds, self.secrets, deadline=time.monotonic() + seconds, sleep=self.waited.append)

    def expect_connect(self) -> None:
        self.expected.add_response(
            "connect_directory",
            {"DirectoryId": ID},
            {
                "Name": "corp.example.com",
                "Size": "Small",
                "Password": "Secret-1",
                "ConnectSettings": {
                    "VpcId": "vpc-1",
                    "SubnetIds": ["private-a", "private-b"],
                    "CustomerDnsIps": ["10.0.0.10"],
                    "CustomerUserName": "joiner",
                },
            },
        )

    def expect_stages(self, *stages: str, reason: str = "") -> None:
        for stage in stages:
            found = {"DirectoryId": ID, "Stage": stage, "StageReason": reason}
            self.expected.add_response(
                "describe_directories", {"DirectoryDescriptions": [found]}, {"DirectoryIds": [ID]}
            )

    def expect_delete(self) -> None:
        self.expected.add_response("delete_directory", {"DirectoryId": ID}, {"DirectoryId": ID})

    def expect_gone(self) -> None:
        self.expected.add_client_error("describe_directories", "EntityDoesNotExistException")


@pytest.fixture
def aws_calls() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.expected.assert_no_pending_responses()


def test_creation_ends_when_the_directory_is_active(aws_calls: Aws) -> None:
    aws_calls.expect_connect()
    aws_calls.expect_stages("Requested", "Creating", "Active")
    assert aws_calls.connector().create(PROPERTIES) == ID
    assert len(aws_calls.waited) == 2


def test_one_that_fails_is_deleted_and_the_reason_reported(aws_calls: Aws) -> None:
    aws_calls.expect_connect()
    aws_calls.expect_stages("Creating")
    aws_calls.expect_stages("Failed", reason="DNS unavailable: 10.0.0.10")
    aws_calls.expect_delete()
    with pytest.raises(RuntimeError, match=f"directory {ID} is Failed: DNS unavailable: 10.0.0.10"):
        aws_calls.connector().create(PROPERTIES)


def test_waiting_ends(aws_calls: Aws) -> None:
    aws_calls.expect_connect()
    aws_calls.expect_stages("Creating")
    aws_calls.expect_delete()
    with pytest.raises(RuntimeError, match="still Creating; check that its DNS servers answer from the network"):
        aws_calls.connector(seconds=5).create(PROPERTIES)


def test_a_deletion_ends_when_the_directory_no_longer_exists(aws_calls: Aws) -> None:
    aws_calls.expect_stages("Active")
    aws_calls.expect_delete()
    aws_calls.expect_stages("Deleting")
    aws_calls.expect_gone()
    aws_calls.connector().delete(ID)
    aws_calls.expected.assert_no_pending_responses()


def test_deleting_a_missing_directory_succeeds(aws_calls: Aws) -> None:
    aws_calls.connector().delete("none")
    aws_calls.expect_gone()
    aws_calls.connector().delete(ID)
    aws_calls.expected.assert_no_pending_responses()


@pytest.mark.promise("honest-deletion")
def test_a_failed_deletion_is_reported(aws_calls: Aws) -> None:
    aws_calls.expect_stages("Active")
    aws_calls.expect_delete()
    aws_calls.expect_stages("Failed", reason="in use")
    with pytest.raises(RuntimeError, match=f"directory {ID} cannot be deleted: in use"):
        aws_calls.connector().delete(ID)


class Context:
    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 900_000


@pytest.fixture
def answers(aws_calls: Aws, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The function's response to CloudFormation."""
    sent: list[dict[str, Any]] = []

    def put(request: Any, timeout: int) -> io.BytesIO:
        sent.append(json.loads(request.data))
        return io.BytesIO()

    clients = {"ds": aws_calls.ds, "secretsmanager": aws_calls.secrets}
    monkeypatch.setattr(index.boto3, "client", clients.__getitem__)
    monkeypatch.setattr("urllib.request.urlopen", put)
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "the-log")
    return sent


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "RequestId": "1",
        "StackId": "stack",
        "LogicalResourceId": "Connector",
        "ResponseURL": "https://cloudformation.invalid/",
        "ResourceProperties": PROPERTIES,
        **more,
    }


def test_cloudformation_learns_the_id(aws_calls: Aws, answers: list[dict[str, Any]]) -> None:
    aws_calls.expect_connect()
    aws_calls.expect_stages("Active")
    index.handler(event("Create"), Context())
    assert [(answer["Status"], answer["PhysicalResourceId"]) for answer in answers] == [("SUCCESS", ID)]


def test_an_update_without_changes_creates_nothing(aws_calls: Aws, answers: list[dict[str, Any]]) -> None:
    index.handler(event("Update", PhysicalResourceId=ID, OldResourceProperties=PROPERTIES), Context())
    assert [(answer["Status"], answer["PhysicalResourceId"]) for answer in answers] == [("SUCCESS", ID)]


def test_a_change_creates_a_new_directory_and_cloudformation_deletes_the_old_one(
    aws_calls: Aws, answers: list[dict[str, Any]]
) -> None:
    aws_calls.expect_connect()
    aws_calls.expect_stages("Active")
    former = {**PROPERTIES, "Size": "Large"}
    index.handler(event("Update", PhysicalResourceId="d-former", OldResourceProperties=former), Context())
    assert answers[0]["PhysicalResourceId"] == ID


def test_an_error_is_reported_without_the_password(aws_calls: Aws, answers: list[dict[str, Any]]) -> None:
    aws_calls.expected.add_client_error("connect_directory", "DirectoryLimitExceededException", "too many")
    index.handler(event("Create"), Context())
    assert answers[0]["Status"] == "FAILED"
    assert "too many" in answers[0]["Reason"]
    assert "Secret-1" not in json.dumps(answers)
