import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import AuditTrail, EncryptionKeys
from tests.compliance import assert_complies


@pytest.fixture
def trail(stack: cdk.Stack) -> AuditTrail:
    return AuditTrail(stack, "Audit", encryption_key=EncryptionKeys(stack, "Keys").logs)


def filter_pattern(stack: cdk.Stack, event: str) -> Any:
    """What is looked for in the trail's log for one metric."""
    wanted = {"MetricTransformations": [Match.object_like({"MetricName": f"Test-{event}"})]}
    (found,) = Template.from_stack(stack).find_resources("AWS::Logs::MetricFilter", {"Properties": wanted}).values()
    return found["Properties"]["FilterPattern"]


def matches(pattern: str, event: dict[str, str]) -> bool:
    """Whether a filter matches an event, given by its fields. A comparison with an absent field is false."""

    def one(comparison: re.Match[str]) -> str:
        field, operator, value = comparison.groups()
        there = event.get(field)
        met = {"NOT EXISTS": there is None, "=": there == value, "!=": there not in (None, value)}
        return str(met[operator])

    words = re.sub(r'\$\.([\w.]+) (NOT EXISTS|!=|=)(?: "([^"]*)")?', one, pattern.strip("{} "))
    logic = words.replace("&&", "and").replace("||", "or")
    assert re.fullmatch(r"(True|False|and|or|[() ])+", logic)
    return bool(eval(logic))  # of nothing but these words


def test_defaults(stack: cdk.Stack, trail: AuditTrail, snapshot_json: SnapshotAssertion) -> None:
    resources = Template.from_stack(stack).to_json()["Resources"]
    assert {id: resource for id, resource in resources.items() if id.startswith("Audit")} == snapshot_json


@pytest.mark.promise("audit-trail")
def test_all_regions_are_recorded_encrypted_and_validated(stack: cdk.Stack, trail: AuditTrail) -> None:
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudTrail::Trail",
        {
            "IsLogging": True,
            "IsMultiRegionTrail": True,
            "EnableLogFileValidation": True,
            "KMSKeyId": Match.any_value(),
            "CloudWatchLogsLogGroupArn": Match.any_value(),
        },
    )


@pytest.mark.promise("every-entry-traced")
def test_reads_and_writes_of_the_given_buckets_are_recorded(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Models", "models")
    AuditTrail(stack, "Audit", encryption_key=EncryptionKeys(stack, "Keys").logs, recorded_buckets=[bucket])
    selector = {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
            {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::models/"]},
        ]
    }
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudTrail::Trail", {"AdvancedEventSelectors": Match.array_with([selector])}
    )


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("RootUsed", ["Root"]),
        ("KeyChanged", ["PutKeyPolicy", "DisableKey", "ScheduleKeyDeletion"]),
        ("TrailChanged", ["StopLogging", "DeleteTrail", "PutEventSelectors"]),
    ],
)
def test_what_should_never_happen_raises_an_alarm(
    stack: cdk.Stack, trail: AuditTrail, event: str, words: list[str]
) -> None:
    pattern = filter_pattern(stack, event)
    assert [word for word in words if word not in pattern] == []
    Template.from_stack(stack).has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"MetricName": f"Test-{event}", "AlarmActions": [Match.any_value()], "TreatMissingData": "notBreaching"},
    )


@pytest.mark.parametrize(
    ("alarm", "source", "name", "raised_by_deployments"),
    [
        ("KeyChanged", "kms", "PutKeyPolicy", False),
        ("KeyChanged", "kms", "DisableKey", True),
        ("KeyChanged", "kms", "ScheduleKeyDeletion", True),
        ("TrailChanged", "cloudtrail", "PutEventSelectors", False),
        ("TrailChanged", "cloudtrail", "UpdateTrail", False),
        ("TrailChanged", "cloudtrail", "StopLogging", True),
        ("TrailChanged", "cloudtrail", "DeleteTrail", True),
    ],
)
def test_a_deployment_changes_a_policy_without_an_alarm_but_stops_neither_key_nor_trail_in_silence(
    stack: cdk.Stack, trail: AuditTrail, alarm: str, source: str, name: str, raised_by_deployments: bool
) -> None:
    """Else the bake that follows would stop on the alarm that the deployment itself has raised."""
    pattern = filter_pattern(stack, alarm)
    event = {"eventSource": f"{source}.amazonaws.com", "eventName": name}
    assert matches(pattern, event)
    assert matches(pattern, event | {"userIdentity.invokedBy": "ec2.amazonaws.com"})
    deployed = event | {"userIdentity.invokedBy": "cloudformation.amazonaws.com"}
    assert matches(pattern, deployed) is raised_by_deployments
    assert not matches(pattern, event | {"eventName": "DescribeKey"})


def test_root_is_looked_for_as_security_hub_asks(stack: cdk.Stack, trail: AuditTrail) -> None:
    """What a service does for the account on its own, AWS records as root, too; CloudWatch.1 wants it left out."""
    words = '$.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS && $.eventType != "AwsServiceEvent"'
    assert filter_pattern(stack, "RootUsed") == f"{{ {words} }}"


def test_the_use_of_an_emergency_role_raises_an_alarm(stack: cdk.Stack, trail: AuditTrail) -> None:
    role = iam.Role(stack, "BreakGlass", assumed_by=iam.AccountRootPrincipal())
    trail.alarm_on_use_of("BreakGlassUsed", role)
    assert stack.resolve(role.role_arn) in filter_pattern(stack, "BreakGlassUsed")["Fn::Join"][1]


def test_only_trails_of_this_account_write_files(stack: cdk.Stack, trail: AuditTrail) -> None:
    (policy,) = Template.from_stack(stack).find_resources("AWS::S3::BucketPolicy").values()
    allowed = [s for s in policy["Properties"]["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert {s["Principal"]["Service"] for s in allowed} == {"cloudtrail.amazonaws.com"}
    for statement in allowed:
        source = statement["Condition"]["ArnLike"]["aws:SourceArn"]
        assert source == "arn:aws:cloudtrail:*:111111111111:trail/*"


def test_files_and_log_outlive_their_stack(stack: cdk.Stack, trail: AuditTrail) -> None:
    template = Template.from_stack(stack)
    template.all_resources("AWS::S3::Bucket", {"DeletionPolicy": "Retain"})
    template.all_resources("AWS::Logs::LogGroup", {"DeletionPolicy": "Retain"})


def test_fails_when_files_would_be_gone_before_an_audit(stack: cdk.Stack) -> None:
    keys = EncryptionKeys(stack, "Keys")
    with pytest.raises(ValueError, match="Test/Audit: file_days must be 90 or more, got 30; an audit looks back"):
        AuditTrail(stack, "Audit", encryption_key=keys.logs, file_days=30)


def test_passes_the_compliance_pack(app: cdk.App, trail: AuditTrail) -> None:
    assert_complies(app)
