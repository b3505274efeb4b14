from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from mlplatform_constructs import DataBucket
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements, many

HERE, REPLICA = "<FeaturesBucket128DD398.Arn>", "<Replica.FeaturesBucketArn580FA145>"
KEY, REPLICA_KEY = "<FeaturesKey2FCD7C51.Arn>", "<Replica.FeaturesBucketKeyArn2F7B87B6>"


@pytest.fixture
def elsewhere(app: cdk.App) -> cdk.Stack:
    """A stack of the same account in another region."""
    return cdk.Stack(app, "Replica", env=cdk.Environment(account="111111111111", region="eu-central-1"))


def replicate(stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    DataBucket(stack, "Features").replicate_to(DataBucket(elsewhere, "Features"))


def role(stack: cdk.Stack) -> list[dict[str, Any]]:
    return identity_statements(Template.from_stack(stack), "FeaturesReplicationRoleA3368220")


@pytest.mark.promise("second-region-copy")
def test_every_new_object_goes_to_the_replica_under_the_replicas_key(stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    replicate(stack, elsewhere)
    template = Template.from_stack(stack)
    (rule,) = template.find_resources("AWS::S3::Bucket")["FeaturesBucket128DD398"]["Properties"][
        "ReplicationConfiguration"
    ]["Rules"]
    assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
    assert rule["DeleteMarkerReplication"] == {"Status": "Enabled"}
    assert rule["SourceSelectionCriteria"] == {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    assert flat(rule["Destination"]["Bucket"]) == REPLICA
    assert flat(rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"]) == REPLICA_KEY


@pytest.mark.promise("second-region-copy")
def test_the_role_copies_from_here_to_the_replica_and_nothing_else(stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    replicate(stack, elsewhere)
    statements = role(stack)
    granted = {(flat(each["Resource"]), action) for each in statements for action in many(each["Action"])}
    assert granted == {
        (HERE, "s3:GetReplicationConfiguration"),
        (HERE, "s3:ListBucket"),
        (f"{HERE}/*", "s3:GetObjectVersionForReplication"),
        (f"{HERE}/*", "s3:GetObjectVersionAcl"),
        (f"{HERE}/*", "s3:GetObjectVersionTagging"),
        (f"{REPLICA}/*", "s3:ReplicateObject"),
        (f"{REPLICA}/*", "s3:ReplicateDelete"),
        (f"{REPLICA}/*", "s3:ReplicateTags"),
        (KEY, "kms:Decrypt"),
        (REPLICA_KEY, "kms:Encrypt"),
        (REPLICA_KEY, "kms:GenerateDataKey"),
    }
    assert {each["Effect"] for each in statements} == {"Allow"}


@pytest.mark.parametrize(
    ("action", "key", "region", "bucket", "other_bucket"),
    [
        ("kms:Decrypt", KEY, "eu-west-1", HERE, REPLICA),
        ("kms:Encrypt", REPLICA_KEY, "eu-central-1", REPLICA, HERE),
        ("kms:GenerateDataKey", REPLICA_KEY, "eu-central-1", REPLICA, HERE),
    ],
)
def test_the_role_uses_keys_through_s3_for_its_two_buckets_only(
    stack: cdk.Stack, elsewhere: cdk.Stack, action: str, key: str, region: str, bucket: str, other_bucket: str
) -> None:
    replicate(stack, elsewhere)
    service = f"s3.{region}.amazonaws.com"
    context = "kms__EncryptionContext__aws__s3__arn"
    assert allows(role(stack), action, key, kms__ViaService=service, **{context: bucket})
    assert allows(role(stack), action, key, kms__ViaService=service, **{context: f"{bucket}/churn/a"})
    assert not allows(role(stack), action, key, kms__ViaService=service, **{context: other_bucket})
    assert not allows(role(stack), action, key, kms__ViaService="ec2.eu-west-1.amazonaws.com", **{context: bucket})


def test_only_s3_takes_the_role(stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    replicate(stack, elsewhere)
    (trust,) = Template.from_stack(stack).find_resources("AWS::IAM::Role").values()
    (statement,) = trust["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}


def test_the_replicas_stack_is_first_but_not_tied(app: cdk.App, stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    replicate(stack, elsewhere)
    assert elsewhere in stack.dependencies
    outputs = app.synth().get_stack_by_name("Replica").template["Outputs"].values()
    assert not [output for output in outputs if "Export" in output]
    elsewhere_types = {each["Type"] for each in Template.from_stack(elsewhere).to_json()["Resources"].values()}
    assert elsewhere_types == {"AWS::KMS::Key", "AWS::S3::Bucket", "AWS::S3::BucketPolicy"}


def test_two_buckets_may_share_a_replica(app: cdk.App, stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    replica = DataBucket(elsewhere, "Features")
    for name in ("Features", "Models"):
        DataBucket(stack, name).replicate_to(replica)
    assert_complies(app)


@pytest.mark.promise("second-region-copy")
@pytest.mark.parametrize("region", ["eu-west-1", None])
def test_refuses_a_replica_that_is_not_elsewhere(app: cdk.App, stack: cdk.Stack, region: str | None) -> None:
    beside = cdk.Stack(app, "Replica", env=cdk.Environment(account="111111111111", region=region))
    with pytest.raises(ValueError, match="Test/Features: replica must be in another region, got "):
        replicate(stack, beside)


def test_refuses_a_replica_in_another_account(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Replica", env=cdk.Environment(account="222222222222", region="eu-central-1"))
    with pytest.raises(ValueError, match="replica must be in account 111111111111, got 222222222222"):
        replicate(stack, theirs)


def test_refuses_a_second_replica(stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    features, replica = DataBucket(stack, "Features"), DataBucket(elsewhere, "Features")
    features.replicate_to(replica)
    with pytest.raises(ValueError, match="Test/Features: has a replica already"):
        features.replicate_to(replica)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, elsewhere: cdk.Stack) -> None:
    replicate(stack, elsewhere)
    assert_complies(app)
