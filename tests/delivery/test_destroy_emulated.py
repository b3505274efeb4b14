"""The gate and `make destroy`, by the real CDK CLI, on a small app in the AWS emulator."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from config.tags import STAGE
from delivery.destroy.__main__ import main as destroy
from delivery.gate.__main__ import main as gate
from rehearsal.assembly import Assembly
from rehearsal.cdk import Cdk
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.run import exclusive_run

NETWORK = {
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "Queue": {"Type": "AWS::SQS::Queue"},
    },
    "Outputs": {"Vpc": {"Value": {"Ref": "Vpc"}, "Export": {"Name": "local-Network:Vpc"}}},
}
METADATA = {
    "Resources": {
        "Group": {
            "Type": "AWS::EC2::SecurityGroup",
            "DeletionPolicy": "Retain",
            "Properties": {"GroupDescription": "database", "VpcId": {"Fn::ImportValue": "local-Network:Vpc"}},
        }
    }
}
DATA = {
    "Resources": {
        "Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "platform"}},
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "BillingMode": "PAY_PER_REQUEST",
                "DeletionProtectionEnabled": True,
            },
        },
    }
}
TEMPLATES = {"Network": NETWORK, "Metadata": METADATA, "Data": DATA}
DEPENDENCIES = {"Metadata": ["localNetwork"]}


def assembly(folder: Path, templates: dict[str, Any]) -> Path:
    """A cloud assembly of the stage `local`."""
    folder.mkdir()
    artifacts = {}
    for name, template in templates.items():
        (folder / f"{name}.template.json").write_text(json.dumps(template), encoding="utf-8")
        artifacts[f"local{name}"] = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://000000000000/us-east-1",
            "properties": {
                "templateFile": f"{name}.template.json",
                "stackName": f"local-{name}",
                "tags": {STAGE: "local"},
            },
            "displayName": f"local/{name}",
            "dependencies": [one for one in DEPENDENCIES.get(name, ()) if one.removeprefix("local") in templates],
        }
    manifest = {"version": "48.0.0", "artifacts": artifacts}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The assembly of an app that is deployed in an AWS emulator, to which this process' AWS calls go."""
    folder = assembly(tmp_path / "cdk.out", TEMPLATES)
    with exclusive_run(tmp_path / "rehearsal") as run, EmbeddedAws(run) as aws:
        aws.wait_until_healthy()
        Cdk(aws, run).deploy(Assembly(folder))
        for name, value in aws.environment("us-east-1").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HOME", str(tmp_path))
        yield folder


def stacks() -> set[str]:
    summaries = boto3.client("cloudformation", region_name="us-east-1").describe_stacks()["Stacks"]
    return {one["StackName"] for one in summaries if one["StackStatus"] != "DELETE_COMPLETE"}


@pytest.mark.promise("ordered-removal", "no-leftovers", "gate")
def test_the_gate_stops_and_destruction_retains_data(
    deployed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The gate, the refusal, the destruction and its report run against deployed stacks."""
    assert gate(["local", "--assembly", str(deployed)]) == 0
    assert "the deployment changes nothing" in capfd.readouterr().out

    resources = DATA["Resources"]
    renamed = {"Resources": {"Store" if id == "Bucket" else id: body for id, body in resources.items()}}
    changed = assembly(tmp_path / "changed", TEMPLATES | {"Data": renamed})
    assert gate(["local", "--assembly", str(changed)]) == 1
    assert "STOP data-losing  Bucket (AWS::S3::Bucket)" in capfd.readouterr().out

    fewer = assembly(tmp_path / "fewer", {"Network": NETWORK, "Metadata": METADATA})
    assert gate(["local", "--assembly", str(fewer)]) == 0
    assert "unchanged until they are destroyed: local-Data" in capfd.readouterr().out
    assert destroy(["local", "--assembly", str(fewer), "--yes"]) == 1
    assert "local-Data: deployed, but no longer part of the account" in capfd.readouterr().err
    assert stacks() == {"local-Network", "local-Metadata", "local-Data"}

    assert destroy(["local", "--assembly", str(deployed), "--yes"]) == 0
    told = capfd.readouterr().out
    assert stacks() == {"local-Network", "local-Metadata"}
    assert "destroys: local/Data\n" in told
    assert "stays: local/Metadata: Group is retained and is in the network" in told
    assert "stays: local/Network: needed by local/Metadata" in told
    (bucket,) = boto3.client("s3", region_name="us-east-1").list_buckets()["Buckets"]
    assert f"AWS::S3::Bucket {bucket['Name']} in us-east-1" in told
    assert boto3.client("dynamodb", region_name="us-east-1").list_tables()["TableNames"] == []
    assert "nothing remains except what is retained" in told

    assert destroy(["local", "--assembly", str(deployed), "--yes"]) == 0
    again = capfd.readouterr().out
    assert "destroys:" not in again
    assert "delete: aws cloudcontrol delete-resource --type-name AWS::EC2::SecurityGroup --identifier 'sg-" in again
