import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from config.database import Database
from mlplatform_constructs import AlarmTopic, Network
from stacks.account.metadata import MetadataStack
from tests.protection import protection


@pytest.fixture
def template(app: cdk.App) -> Template:
    stage = cdk.Stage(app, "test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    base = cdk.Stack(stage, "Base")
    stack = MetadataStack(
        stage,
        "Metadata",
        vpc=Network(base, "Network", availability_zones=["eu-west-1a", "eu-west-1b"]).vpc,
        registries=["churn"],
        alarm_topic=AlarmTopic(base, "Alarms").topic,
        settings=Database(
            instance_type="m7g.large", storage_gib=100, max_storage_gib=200, max_connections=600, backup_days=35
        ),
        protection=protection(base),
    )
    app.synth()
    return Template.from_stack(stack)


@pytest.mark.promise("metadata-database", "storage-grows")
def test_the_database_follows_the_account_file(template: Template) -> None:
    template.has_resource_properties(
        "AWS::RDS::DBInstance",
        {
            "DBInstanceClass": "db.m7g.large",
            "AllocatedStorage": "100",
            "MaxAllocatedStorage": 200,
            "BackupRetentionPeriod": 35,
            "MultiAZ": True,
        },
    )
    template.has_resource_properties(
        "AWS::RDS::DBParameterGroup", {"Parameters": Match.object_like({"max_connections": "600"})}
    )
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 90})


def test_no_key_is_made_here(template: Template) -> None:
    template.resource_count_is("AWS::KMS::Key", 0)


@pytest.mark.promise("names-in-outputs")
def test_charts_and_people_find_host_and_secrets(template: Template) -> None:
    assert set(template.find_outputs("*")) >= {
        "DatabaseHost",
        "PipelinesSecret",
        "MetadataSecret",
        "CacheSecret",
        "KatibSecret",
    }
