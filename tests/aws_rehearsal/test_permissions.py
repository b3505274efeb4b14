"""Calls of roles are decided as IAM decides them, also where the emulator alone would not."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from aws_rehearsal.emulator.permissions import PROBE

ACCOUNT = "000000000000"
TRUST = {
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ]
}
ENVIRONMENT = """
import os
def handler(event, context):
    names = ("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_EXECUTION_ENV")
    return [*(os.environ[name] for name in names), os.environ["AWS_ACCESS_KEY_ID"][:4]]
"""
AsRole = Callable[..., Callable[[str], Any]]


def allow(action: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.fixture
def as_role(cloud: Any) -> AsRole:
    """Clients that call as a role with the given statements."""

    def make(name: str, *statements: dict[str, Any], path: str = "/") -> Callable[[str], Any]:
        iam = cloud.client("iam")
        role = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            iam.put_role_policy(RoleName=name, PolicyName="Own", PolicyDocument=document)
        given = cloud.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
        session = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name="us-east-1",
        )
        return lambda service: session.client(service, endpoint_url=cloud.aws.url)

    return make


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_call_without_a_right_is_denied_and_noted_with_role_action_resource_and_policy(
    cloud: Any, as_role: AsRole
) -> None:
    client = as_role("denied", allow("sqs:ListQueues"), path="/people/")("s3")
    cloud.client("s3").create_bucket(Bucket="denied-bucket")
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket="denied-bucket", Key="a", Body=b"")
    assert code_of(error) == "AccessDenied"
    (noted,) = (one for one in cloud.aws.permissions()["denied"] if one["principal"].endswith("/denied"))
    assert noted == {
        "principal": f"arn:aws:iam::{ACCOUNT}:role/people/denied",
        "action": "s3:PutObject",
        "resource": "arn:aws:s3:::denied-bucket/a",
        "policy": "Own",
        "why": "no statement allows it",
    }


def test_a_call_that_only_asks_what_a_role_may_do_is_decided_but_not_noted(
    cloud: Any, as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", PROBE)
    client = as_role("asking", allow("sqs:ListQueues"))
    client("sqs").list_queues()
    with pytest.raises(ClientError) as error:
        client("iam").list_users()
    assert code_of(error) == "AccessDenied"
    noted = cloud.aws.permissions()
    assert not [one for one in [*noted["allowed"], *(each["principal"] for each in noted["denied"])] if "asking" in one]


def test_a_call_that_is_allowed_is_noted_with_what_it_was_about(cloud: Any, as_role: AsRole) -> None:
    cloud.client("s3").create_bucket(Bucket="allowed-bucket")
    as_role("allowed", allow("s3:*"))("s3").put_object(Bucket="allowed-bucket", Key="a", Body=b"")
    noted = cloud.aws.permissions()["allowed"][f"arn:aws:iam::{ACCOUNT}:role/allowed"]
    assert list(noted["s3:PutObject"]) == ["arn:aws:s3:::allowed-bucket/a"]


def test_batches_of_messages_need_the_right_to_send_one(cloud: Any, as_role: AsRole) -> None:
    queue = cloud.client("sqs").create_queue(QueueName="batches")["QueueUrl"]
    client = as_role("sender", allow("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:batches"))("sqs")
    answer = client.send_message_batch(QueueUrl=queue, Entries=[{"Id": "1", "MessageBody": "hello"}])
    assert [one["Id"] for one in answer["Successful"]] == ["1"]


def test_the_principal_of_a_condition_is_the_role_and_not_its_session(cloud: Any, as_role: AsRole) -> None:
    cloud.client("s3").create_bucket(Bucket="people-bucket")
    mine = {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/people/named"}}
    client = as_role("named", allow("s3:PutObject", Condition=mine), path="/people/")("s3")
    assert client.put_object(Bucket="people-bucket", Key="a", Body=b"")["ETag"]


def test_a_bucket_can_demand_conditional_writes(cloud: Any, as_role: AsRole) -> None:
    cloud.client("s3").create_bucket(Bucket="conditional-bucket")
    demand = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::conditional-bucket/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [demand]})
    cloud.client("s3").put_bucket_policy(Bucket="conditional-bucket", Policy=policy)
    client = as_role("publisher", allow("s3:PutObject"))("s3")
    client.put_object(Bucket="conditional-bucket", Key="a", Body=b"", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        client.put_object(Bucket="conditional-bucket", Key="b", Body=b"")
    assert code_of(error) == "AccessDenied"


def test_a_stream_of_a_log_group_is_within_the_rights_on_the_group(cloud: Any, as_role: AsRole) -> None:
    cloud.client("logs").create_log_group(logGroupName="group")
    client = as_role("writer", allow("logs:CreateLogStream", f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:group:*"))
    client("logs").create_log_stream(logGroupName="group", logStreamName="one")
    streams = cloud.client("logs").describe_log_streams(logGroupName="group")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["one"]


def test_requests_count_as_encrypted(cloud: Any, as_role: AsRole) -> None:
    cloud.client("s3").create_bucket(Bucket="tls-bucket")
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    denial = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": plain}
    client = as_role("encrypted", allow("s3:*"), denial)("s3")
    assert client.put_object(Bucket="tls-bucket", Key="a", Body=b"")["ETag"]


def test_a_condition_on_a_key_that_is_never_filled_decides_nothing_and_is_reported(cloud: Any, as_role: AsRole) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    through = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    as_role("through", allow("kms:Encrypt", Condition=through))("kms").encrypt(KeyId=key, Plaintext=b"a")
    role = f"arn:aws:iam::{ACCOUNT}:role/through"
    assert [role, "kms:Encrypt", "kms:ViaService"] in cloud.aws.permissions()["undecided"]


def test_the_reference_to_a_secret_is_its_arn(cloud: Any) -> None:
    found = cloud.create({"Secret": {"Type": "AWS::SecretsManager::Secret"}}, outputs={"Secret": {"Ref": "Secret"}})
    assert found["Secret"].startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:")
    cloud.delete()
    listed = cloud.client("secretsmanager").list_secrets()["SecretList"]
    assert found["Secret"] not in [one["ARN"] for one in listed]


def test_a_function_knows_its_log_group_and_calls_by_its_role(cloud: Any, as_role: AsRole) -> None:
    as_role("environment")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("index.py", ENVIRONMENT)
    client = cloud.client("lambda")
    client.create_function(
        FunctionName="environment",
        Runtime="python3.13",
        Role=f"arn:aws:iam::{ACCOUNT}:role/environment",
        Handler="index.handler",
        Code={"ZipFile": content.getvalue()},
        LoggingConfig={"LogGroup": "/own/group"},
    )
    answer = json.load(client.invoke(FunctionName="environment")["Payload"])
    assert answer == ["/own/group", "AWS_Lambda_python3.13", "ASIA"]
    assert cloud.aws.state()["invoked"]["environment"] == 1


@pytest.mark.parametrize(
    ("action", "known", "decided"),
    [
        (
            "eks:DescribeNodegroup",
            f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/training",
            f"arn:aws:eks:eu-west-1:{ACCOUNT}:nodegroup/training/any/any",
        ),
        (
            "eks:DescribeCluster",
            f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/training",
            f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/training",
        ),
        (
            "ssm:GetParameter",
            f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/aws/service/eks/x",
            "arn:aws:ssm:eu-west-1::parameter/aws/service/eks/x",
        ),
        (
            "ssm:GetParameter",
            f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/own",
            f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/own",
        ),
    ],
)
def test_a_call_is_decided_by_the_arn_that_aws_decides_it_by(action: str, known: str, decided: str) -> None:
    from aws_rehearsal.emulator.permissions import resource_of

    assert resource_of(action, known) == decided


OWN = {"StringEquals": {"aws:RequestTag/owner": "karpenter"}}
TAGGED = {"StringEquals": {"aws:ResourceTag/owner": "karpenter"}}
TEMPLATES = "arn:aws:ec2:us-east-1:000000000000:launch-template/*"


def test_ec2_decides_by_the_tags_of_a_request_and_of_what_it_changes(as_role: AsRole) -> None:
    ec2 = as_role(
        "maker",
        allow("ec2:CreateLaunchTemplate", TEMPLATES, Condition=OWN),
        allow("ec2:DeleteLaunchTemplate", TEMPLATES, Condition=TAGGED),
    )("ec2")

    def create(name: str, owner: str) -> str:
        tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "owner", "Value": owner}]}]
        data = {"InstanceType": "m7i.xlarge"}
        made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=tags)
        id: str = made["LaunchTemplate"]["LaunchTemplateId"]
        return id

    with pytest.raises(ClientError) as refused:
        create("other", "somebody")
    assert code_of(refused) == "UnauthorizedOperation"
    assert ec2.delete_launch_template(LaunchTemplateId=create("own", "karpenter"))["LaunchTemplate"]


def test_ec2_does_not_count_the_tags_inside_of_a_launch_template(as_role: AsRole) -> None:
    ec2 = as_role("inside", allow("ec2:CreateLaunchTemplate", TEMPLATES, Condition=OWN))("ec2")
    inside = [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "karpenter"}]}]
    with pytest.raises(ClientError) as refused:
        ec2.create_launch_template(LaunchTemplateName="inside", LaunchTemplateData={"TagSpecifications": inside})
    assert code_of(refused) == "UnauthorizedOperation"


def test_ec2_refuses_to_change_what_has_other_tags(as_role: AsRole, cloud: Any) -> None:
    cloud.client("ec2").create_launch_template(LaunchTemplateName="theirs", LaunchTemplateData={"ImageId": "ami-1"})
    ec2 = as_role("changer", allow("ec2:DeleteLaunchTemplate", TEMPLATES, Condition=TAGGED))("ec2")
    with pytest.raises(ClientError) as refused:
        ec2.delete_launch_template(LaunchTemplateName="theirs")
    assert code_of(refused) == "UnauthorizedOperation"
