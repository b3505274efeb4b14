import json
import re
import time
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from config.schema import Logs
from config.storage import Storage
from mlplatform_constructs import AlarmTopic, EncryptionKeys, Network
from mlplatform_constructs.handlers.feature_processor.events import parse
from stacks.data import DataStack
from stacks.feature_groups import RESTAURANT_PREPARATION
from stacks.storage import StorageStack
from tests.policies import flat, identity_statements, many

GUIDE = Path(__file__).parents[2] / "docs" / "feature-store.md"


def data_stack(app: cdk.App) -> DataStack:
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    keys = EncryptionKeys(base, "Keys")
    network = Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    storage = StorageStack(
        stage,
        "Storage",
        vpc=network.vpc,
        encryption_key=keys.data,
        settings=Storage(),
        logs=Logs(),
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    return DataStack(
        stage,
        "Data",
        features=storage.features,
        models=storage.models,
        access_logs=storage.access_logs,
        log_key=keys.logs,
        alarm_topic=AlarmTopic(base, "Alarms").topic,
        logs=Logs(retention_days=30),
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )


def test_the_example_is_a_mean_over_a_week_offline_and_over_an_hour_online(app: cdk.App) -> None:
    """Rows 107 to 110."""
    template = Template.from_stack(data_stack(app))
    [function] = template.find_resources(
        "AWS::Lambda::Function", {"Properties": {"Handler": "feature_processor.index.handler"}}
    ).values()
    spec = json.loads(function["Properties"]["Environment"]["Variables"]["FEATURE_GROUP"])
    assert spec["online"] == [
        {
            "name": "preparation_seconds_mean_1h",
            "aggregate": "mean",
            "of": "preparation_seconds",
            "window_seconds": 3600,
        }
    ]
    [machine] = template.find_resources("AWS::StepFunctions::StateMachine").values()
    definition = json.loads(flat(machine["Properties"]["DefinitionString"]))
    select = definition["States"]["Recompute"]["Branches"][0]["States"]["Begin"]["Assign"]["Write"]
    week = 7 * 24 * 3600 * 1000
    assert f'- {week}) AS DOUBLE) AS "preparation_seconds_mean_7d"' in select
    template.has_resource_properties("AWS::Scheduler::Schedule", {"ScheduleExpression": "cron(15 0,6,12,18 * * ? *)"})


def test_logs_are_kept_as_long_as_the_account_file_says_under_the_key_of_logs(app: cdk.App) -> None:
    template = Template.from_stack(data_stack(app))
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    assert groups
    for group in groups:
        assert group["Properties"]["RetentionInDays"] == 30
        assert "KeysLogs" in json.dumps(group["Properties"]["KmsKeyId"])


def test_a_reader_in_another_stack_reads_features_and_writes_none(app: cdk.App) -> None:
    """Row 106."""
    data = data_stack(app)
    elsewhere = cdk.Stack(data.node.scope, "Elsewhere")
    role = iam.Role(elsewhere, "Reader", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    data.features.grant_read_offline(role)
    data.features.grant_read_online(role)
    template = Template.from_stack(elsewhere)
    [reader] = template.find_resources("AWS::IAM::Role")
    written = {
        flat(resource)
        for statement in identity_statements(template, reader)
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
        if action.split(":")[1].startswith(("Put", "Update", "Delete", "Create", "BatchWrite"))
    }
    assert len(written) == 1
    assert "Results" in written.pop()


def test_the_documented_event_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's example runs, and what it puts into the stream is an event of the example group."""
    put: list[dict[str, str]] = []

    class Kinesis:
        def put_record(self, **record: str) -> None:
            put.append(record)

    monkeypatch.setattr("boto3.client", lambda service: Kinesis())
    exec(re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0], {})
    event = parse(put[0]["Data"].encode(), RESTAURANT_PREPARATION.to_spec(), time.time())
    assert event.entity == put[0]["PartitionKey"] == "trattoria"


def test_people_are_told_the_names(app: cdk.App) -> None:
    outputs = Template.from_stack(data_stack(app)).find_outputs("*")
    assert {
        "FeatureDatabaseName",
        "FeatureWorkGroupName",
        "RestaurantPreparationStreamName",
        "RestaurantPreparationTableName",
    } <= set(outputs)


def test_passes_the_compliance_pack(app: cdk.App) -> None:
    data = data_stack(app)
    elsewhere = cdk.Stack(data.node.scope, "Elsewhere")
    role = iam.Role(elsewhere, "Reader", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    data.features.grant_read_offline(role)
    data.features.grant_read_online(role)
    data.features.grant_put_events(role)
    app.synth()


def test_the_model_bucket_is_a_repository(app: cdk.App) -> None:
    """Rows 111, 112. Its policy is the storage's, its check the data stack's."""
    data = data_stack(app)
    template = Template.from_stack(data)
    [function] = template.find_resources("AWS::Lambda::Function", {"Properties": {"Handler": "index.handler"}}).values()
    bucket = function["Properties"]["Environment"]["Variables"]["BUCKET"]
    assert "ModelsBucket" in flat(bucket)
    [rule] = [
        rule["Properties"]["EventPattern"]
        for rule in template.find_resources("AWS::Events::Rule").values()
        if "EventPattern" in rule["Properties"]
    ]
    assert rule["detail"]["bucket"]["name"] == [bucket]
    policies = Template.from_stack(cdk.Stack.of(data.models.bucket)).find_resources("AWS::S3::BucketPolicy").values()
    refusals = {
        each["Sid"]
        for policy in policies
        for each in policy["Properties"]["PolicyDocument"]["Statement"]
        if "Sid" in each
    }
    assert {"FilesAreNeverOverwritten", "VersionsAreNeverOverwrittenBlindly"} <= refusals
