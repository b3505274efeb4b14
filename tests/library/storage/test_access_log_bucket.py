import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import AccessLogBucket
from tests.compliance import assert_complies


def bucket_that_logs(stack: cdk.Stack, logs: AccessLogBucket) -> None:
    bucket = s3.Bucket(stack, "Recorded", encryption=s3.BucketEncryption.KMS_MANAGED, enforce_ssl=True)
    logs.record(bucket)


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    AccessLogBucket(stack, "AccessLogs")
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


def test_a_bucket_is_logged_below_its_path_by_day(stack: cdk.Stack) -> None:
    bucket_that_logs(stack, AccessLogBucket(stack, "AccessLogs"))
    Template.from_stack(stack).has_resource_properties(
        "AWS::S3::Bucket",
        {
            "LoggingConfiguration": {
                "DestinationBucketName": {"Ref": "AccessLogsBucketCD784A59"},
                "LogFilePrefix": "Test/Recorded/",
                "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
            }
        },
    )


def test_a_bucket_of_another_stack_is_logged_without_a_cycle(app: cdk.App, stack: cdk.Stack) -> None:
    logs = AccessLogBucket(stack, "AccessLogs")
    bucket_that_logs(stack, logs)
    other = cdk.Stack(app, "Other", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    bucket_that_logs(other, logs)
    assert_complies(app)


def test_only_the_log_service_for_this_account_may_write(stack: cdk.Stack) -> None:
    AccessLogBucket(stack, "AccessLogs")
    (policy,) = Template.from_stack(stack).find_resources("AWS::S3::BucketPolicy").values()
    (allowed,) = [each for each in policy["Properties"]["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    assert allowed["Action"] == "s3:PutObject"
    assert allowed["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": "111111111111"}}


def test_logs_expire(stack: cdk.Stack) -> None:
    AccessLogBucket(stack, "AccessLogs", expiration_days=90)
    rule = {"ExpirationInDays": 90, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}, "Status": "Enabled"}
    Template.from_stack(stack).has_resource_properties("AWS::S3::Bucket", {"LifecycleConfiguration": {"Rules": [rule]}})


def test_logs_go_with_a_stack_without_retention(stack: cdk.Stack) -> None:
    AccessLogBucket(stack, "AccessLogs", removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.all_resources("AWS::S3::Bucket", {"DeletionPolicy": "Delete"})
    template.has_resource_properties("Custom::S3AutoDeleteObjects", {"BucketName": Match.any_value()})


def test_refuses_logs_that_expire_at_once(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/AccessLogs: expiration_days must be 1 or more, got 0"):
        AccessLogBucket(stack, "AccessLogs", expiration_days=0)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    bucket_that_logs(stack, AccessLogBucket(stack, "AccessLogs"))
    assert_complies(app)
