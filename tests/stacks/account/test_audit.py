import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template

from config.audit import Audit
from mlplatform_constructs import AlarmTopic
from stacks.account.audit import AuditStack
from tests.protection import protection


@pytest.fixture
def template() -> Template:
    app = cdk.Stage(cdk.App(), "dev", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    stack = cdk.Stack(app, "Others")
    role = iam.Role(stack, "Emergency", assumed_by=iam.AccountRootPrincipal())
    audit = AuditStack(
        app,
        "Audit",
        settings=Audit(file_days=400),
        protection=protection(stack),
        alarm_topic=AlarmTopic(stack, "Alarms").topic,
        recorded_buckets=[s3.Bucket.from_bucket_name(stack, "Models", "models")],
        emergency_roles={"Training": role},
    )
    return Template.from_stack(audit)


@pytest.mark.promise("audit-trail")
def test_log_and_files_are_kept_as_configured(template: Template) -> None:
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 90})
    rule = Match.object_like({"ExpirationInDays": 400})
    template.has_resource_properties("AWS::S3::Bucket", {"LifecycleConfiguration": {"Rules": Match.array_with([rule])}})


def test_the_use_of_each_emergency_role_raises_an_alarm(template: Template) -> None:
    template.has_resource_properties("AWS::CloudWatch::Alarm", {"MetricName": "dev-Audit-TrainingEmergencyRoleUsed"})
