"""The requests to custom resources in a rollback."""

import json
from typing import Any

import pytest

KEEPER = """
import boto3, json, os, urllib.request
def handler(event, context):
    properties = event["ResourceProperties"]
    seen = [event["RequestType"], event.get("PhysicalResourceId"), properties["Content"]]
    boto3.client("sqs").send_message(QueueUrl=properties["Seen"], MessageBody=json.dumps(seen))
    status = "FAILED" if properties["Content"] == "refused" else "SUCCESS"
    body = {"Status": status, "Reason": "it is refused", "PhysicalResourceId": "of " + properties["Content"]}
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        body[name] = event[name]
    request = urllib.request.Request(event["ResponseURL"], json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request)
"""


def resources(thing: str, other: str) -> dict[str, Any]:
    """Two custom resources in order, whose physical id changes with their content."""
    sending = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    role = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
        "Policies": [{"PolicyName": "Send", "PolicyDocument": {"Version": "2012-10-17", "Statement": [sending]}}],
    }
    function = {
        "Runtime": "python3.13",
        "Handler": "index.handler",
        "Role": {"Fn::GetAtt": ["Role", "Arn"]},
        "Code": {"ZipFile": KEEPER},
    }

    def kept(content: str, queue: str) -> dict[str, Any]:
        answered_by = {"ServiceToken": {"Fn::GetAtt": ["Handler", "Arn"]}}
        return {"Type": "Custom::Thing", "Properties": {**answered_by, "Content": content, "Seen": {"Ref": queue}}}

    return {
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "Handler": {"Type": "AWS::Lambda::Function", "Properties": function},
        "Seen": {"Type": "AWS::SQS::Queue"},
        "SeenByOther": {"Type": "AWS::SQS::Queue"},
        "Thing": kept(thing, "Seen"),
        "Other": {**kept(other, "SeenByOther"), "DependsOn": "Thing"},
    }


def test_a_custom_resource_with_a_new_id_is_sent_back_before_what_the_new_id_names_is_deleted(
    cloud: Any, stack_failed: type[Exception]
) -> None:
    cloud.create(resources("old", "fine"))
    with pytest.raises(stack_failed, match="it is refused"):
        cloud.update(resources("new", "refused"))
    sqs, seen = cloud.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=cloud.ids()["Seen"]).get("Messages"):
        for message in messages:
            seen.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=cloud.ids()["Seen"], ReceiptHandle=message["ReceiptHandle"])
    assert seen == [
        ["Create", None, "old"],
        ["Update", "of old", "new"],
        ["Update", "of new", "old"],
        ["Delete", "of new", "new"],
    ]
    assert cloud.ids()["Thing"] == "of old"
