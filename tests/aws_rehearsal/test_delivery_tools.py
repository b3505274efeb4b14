"""Smoke test and bake look at a stack in the AWS emulator, with the AWS SDK as in the pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest

from delivery import bake, smoke

RESOURCES = {
    "Features": {"Type": "AWS::S3::Bucket"},
    "Table": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        },
    },
    "Lag": {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "MetricName": "lag",
            "Namespace": "Test",
            "Period": 60,
            "Statistic": "Maximum",
            "Threshold": 1,
        },
    },
}


@pytest.fixture
def assembly(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What synthesis would have written of the deployed stack, and the environment of a pipeline's step."""
    cloud.create(RESOURCES)
    for name, value in cloud.aws.environment("us-east-1").items():
        monkeypatch.setenv(name, value)
    stage = tmp_path / "assembly-trial"
    stage.mkdir()
    (stage / "Data.template.json").write_text(json.dumps({"Resources": RESOURCES}), encoding="utf-8")
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://000000000000/us-east-1",
        "displayName": "trial/Data",
        "properties": {"stackName": cloud.stack, "templateFile": "Data.template.json"},
    }
    inner = {"type": "cdk:cloud-assembly", "properties": {"directoryName": stage.name, "displayName": "trial"}}
    (stage / "manifest.json").write_text(json.dumps({"artifacts": {"Data": stack}}), encoding="utf-8")
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"assembly-trial": inner}}), encoding="utf-8")
    return tmp_path


def test_a_manually_deleted_bucket_is_reported(cloud: Any, assembly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["trial", "--assembly", str(assembly), "--wait", "0"]
    bucket = cloud.ids()["Features"]
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    cloud.client("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption)
    assert smoke.main(arguments) == 0
    assert capsys.readouterr().out == "trial: everything is deployed and healthy, 1 of 1 stacks\n"
    cloud.client("s3").delete_bucket(Bucket=bucket)
    assert smoke.main(arguments) == 1
    assert capsys.readouterr().out.startswith(f"trial/Data/Features: {bucket}: get_bucket_encryption: NoSuchBucket: ")


def test_an_alarm_that_goes_off_stops_the_bake(cloud: Any, assembly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["trial", "--assembly", str(assembly), "--minutes", "0"]
    assert bake.main(arguments) == 0
    assert capsys.readouterr().out.endswith("trial: no alarm went off\n")
    alarm = cloud.ids()["Lag"]
    cloud.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="an hour behind")
    assert bake.main(arguments) == 1
    assert capsys.readouterr().out.endswith(f"us-east-1: alarm {alarm} is in state ALARM: an hour behind\n")
