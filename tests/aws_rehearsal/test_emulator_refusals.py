"""The AWS emulator refuses what CloudFormation refuses, with the same message."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

FUNCTION_ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
}


def function(code: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": code},
        },
    }


def custom_resource(code: str, **properties: Any) -> dict[str, Any]:
    """A template with a custom resource, and the function that answers for it."""
    answered_by = {"ServiceToken": {"Fn::GetAtt": ["Handler", "Arn"]}}
    return {
        "Role": FUNCTION_ROLE,
        "Handler": function(code),
        "Thing": {"Type": "Custom::Thing", "Properties": answered_by | properties},
    }


ANSWER = """
import json, urllib.request
def handler(event, context):
    body = {"Status": "SUCCESS", "PhysicalResourceId": "thing", "Data": {"Text": "x" * %d}}
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        body[name] = event[name]
    request = urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request)
"""


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"DisplayNam": "x"}, "#: extraneous key [DisplayNam] is not permitted"),
        ({"Tags": [{"Key": "team"}]}, "#/Tags/0: required key [Value] not found"),
        ({"Tags": {"team": "a"}}, "#/Tags: expected type: Array, found: JSONObject"),
    ],
)
def test_a_property_that_the_registry_does_not_allow_fails_a_type_that_is_real(
    cloud: Any, stack_failed: type[Exception], properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(stack_failed) as failure:
        cloud.create({"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}})
    assert f"Properties validation failed for resource Topic with message: [{message}" in str(failure.value)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"SubnetIds": ["subnet-1"]}, "#: required key [FileSystemType] not found"),
        (
            {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"], "Speed": 1},
            "#: extraneous key [Speed] is not permitted",
        ),
        (
            {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"], "LustreConfiguration": {"DeploymentTyp": "x"}},
            "#/LustreConfiguration: extraneous key [DeploymentTyp] is not permitted",
        ),
        (
            {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"], "StorageCapacity": "much"},
            "#/StorageCapacity: expected type: Integer, found: String",
        ),
    ],
)
def test_a_property_that_the_registry_does_not_allow_fails_a_type_that_is_recorded_only(
    cloud: Any, stack_failed: type[Exception], properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(stack_failed) as failure:
        cloud.create({"Lustre": {"Type": "AWS::FSx::FileSystem", "Properties": properties}})
    assert message in str(failure.value)


def test_scalars_convert_into_one_another_as_in_cloudformation(cloud: Any) -> None:
    properties = {"FileSystemType": "LUSTRE", "SubnetIds": ["subnet-1"], "StorageCapacity": "1200"}
    cloud.create({"Lustre": {"Type": "AWS::FSx::FileSystem", "Properties": properties}})
    assert cloud.ids()["Lustre"].startswith("fs-")


def test_a_type_that_the_registry_does_not_know_is_refused_before_anything_is_created(cloud: Any) -> None:
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::SNS::Topik\]"):
        cloud.create({"Topic": {"Type": "AWS::SNS::Topik"}})


def test_a_type_that_its_region_does_not_have_is_refused(cloud: Any) -> None:
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::GroundStation::Config\]"):
        cloud.create({"Dish": {"Type": "AWS::GroundStation::Config", "Properties": {}}}, region="ap-east-1")


def test_an_attribute_that_the_registry_does_not_know_fails(cloud: Any, stack_failed: type[Exception]) -> None:
    with pytest.raises(stack_failed, match="Size"):
        cloud.create({"Topic": {"Type": "AWS::SNS::Topic"}}, outputs={"Size": {"Fn::GetAtt": ["Topic", "Size"]}})


def test_a_bucket_with_content_cannot_be_deleted(cloud: Any, stack_failed: type[Exception]) -> None:
    cloud.create({"Bucket": {"Type": "AWS::S3::Bucket"}})
    bucket = cloud.ids()["Bucket"]
    cloud.client("s3").put_object(Bucket=bucket, Key="model", Body=b"weights")
    with pytest.raises(stack_failed, match="The bucket you tried to delete is not empty"):
        cloud.delete()


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Cognito::UserPool", {"DeletionProtection": "ACTIVE"}),
        ("AWS::QLDB::Ledger", {"PermissionsMode": "STANDARD", "DeletionProtection": True}),
    ],
    ids=["real", "recorded"],
)
def test_what_is_protected_from_deletion_cannot_be_deleted(
    cloud: Any, stack_failed: type[Exception], kind: str, properties: dict[str, Any]
) -> None:
    cloud.create({"Data": {"Type": kind, "Properties": properties}})
    with pytest.raises(stack_failed, match="cannot be deleted: DeletionProtection is on"):
        cloud.delete()


def test_the_same_rule_twice_in_a_security_group_fails(cloud: Any, stack_failed: type[Exception]) -> None:
    rule = {"GroupId": {"Ref": "Group"}, "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.0.0.0/8"}
    with pytest.raises(stack_failed, match="already exists"):
        cloud.create(
            {
                "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
                "Group": {
                    "Type": "AWS::EC2::SecurityGroup",
                    "Properties": {"GroupDescription": "x", "VpcId": {"Ref": "Vpc"}},
                },
                "One": {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": rule},
                "Two": {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": rule, "DependsOn": "One"},
            }
        )


def test_a_custom_resource_answers_within_its_limits(cloud: Any) -> None:
    length = {"Fn::GetAtt": ["Thing", "Text"]}
    assert cloud.create(custom_resource(ANSWER % 3000), outputs={"Text": length})["Text"] == "x" * 3000


def test_a_custom_resource_that_answers_too_much_fails(cloud: Any, stack_failed: type[Exception]) -> None:
    with pytest.raises(stack_failed, match="Response object is too long"):
        cloud.create(custom_resource(ANSWER % 4096))


def test_a_custom_resource_that_is_told_too_much_fails(cloud: Any, stack_failed: type[Exception]) -> None:
    with pytest.raises(stack_failed, match=r"\d+ byte payload is too large for the Event invocation type"):
        cloud.create(custom_resource(ANSWER % 1, Manifest="x" * 262_144))


def test_a_custom_resource_whose_function_crashes_fails_at_once_with_its_output(
    cloud: Any, stack_failed: type[Exception]
) -> None:
    with pytest.raises(stack_failed, match="division by zero"):
        cloud.create(custom_resource("def handler(event, context):\n    return 1 / 0\n"))
