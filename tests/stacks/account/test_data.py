import json
import re
import time
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from config.storage import Storage
from mlplatform_constructs import AlarmTopic, Network
from mlplatform_constructs._data.feature_processor_handler.events import parse
from stacks.account.data import DataStack
from stacks.account.feature_groups import RESTAURANT_PREPARATION
from stacks.account.storage import StorageStack
from tests.compliance import assert_complies
from tests.policies import flat, identity_statements, many
from tests.protection import protection

GUIDE = Path(__file__).parents[3] / "docs" / "feature-store.md"


def data_stack(app: cdk.App) -> DataStack:
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    protected = protection(base, log_days=30)
    network = Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"])
    storage = StorageStack(
        stage,
        "Storage",
        vpc=network.vpc,
        settings=Storage(),
        protection=protected,
    )
    return DataStack(
        stage,
        "Data",
        features=storage.features,
        models=storage.models,
        access_logs=storage.access_logs,
        alarm_topic=AlarmTopic(base, "Alarms").topic,
        protection=protected,
    )


@pytest.mark.promise("scheduled-features", "offline-features", "streamed-features", "online-features")
def test_the_example_is_a_mean_over_a_week_offline_and_over_an_hour_online(app: cdk.App) -> None:
    template = Template.from_stack(data_stack(app))
    [function] = template.find_resources(
        "AWS::Lambda::Function",
        {"Properties": {"Handler": "mlplatform_constructs._data.feature_processor_handler.index.handler"}},
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


def test_logs_are_kept_as_long_as_configured_under_the_key_of_logs(app: cdk.App) -> None:
    template = Template.from_stack(data_stack(app))
    groups = template.find_resources("AWS::Logs::LogGroup").values()
    assert groups
    for group in groups:
        assert group["Properties"]["RetentionInDays"] == 30
        assert "KeysLogs" in json.dumps(group["Properties"]["KmsKeyId"])


@pytest.mark.promise("shared-feature-store")
def test_a_reader_in_another_stack_reads_features_and_writes_none(app: cdk.App) -> None:
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
    """The guide's example runs, and puts an event of the example group into the stream."""
    put: list[dict[str, str]] = []

    class Kinesis:
        def put_record(self, **record: str) -> None:
            put.append(record)

    monkeypatch.setattr("boto3.client", lambda service: Kinesis())
    exec(re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0], {})
    event = parse(put[0]["Data"].encode(), RESTAURANT_PREPARATION.to_spec(), time.time())
    assert event.entity == put[0]["PartitionKey"] == "trattoria"


@pytest.mark.promise("names-in-outputs")
def test_the_names_are_outputs(app: cdk.App) -> None:
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
    assert_complies(app)


@pytest.mark.promise("model-repository", "atomic-model-versions")
def test_the_model_bucket_is_a_repository(app: cdk.App) -> None:
    """The storage stack has its policy, the data stack its check."""
    data = data_stack(app)
    template = Template.from_stack(data)
    handler = {"Handler": "mlplatform_constructs._data.model_check_handler.index.handler"}
    [function] = template.find_resources("AWS::Lambda::Function", {"Properties": handler}).values()
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
