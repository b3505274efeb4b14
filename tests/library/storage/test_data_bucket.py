from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import DataBucket
from tests.compliance import assert_complies
from tests.policies import allows, bucket_statements, flat, identity_statements

BUCKET = "FeaturesBucket128DD398"
KEY = "FeaturesKey2FCD7C51"
CHURN, FRAUD = f"<{BUCKET}.Arn>/churn/a", f"<{BUCKET}.Arn>/fraud/a"


def role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))


def statements_of_role(stack: cdk.Stack) -> list[dict[str, Any]]:
    return identity_statements(Template.from_stack(stack), "Role1ABCC5F0")


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    DataBucket(stack, "Features")
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


def test_the_ids_of_what_holds_data_stay(stack: cdk.Stack) -> None:
    """Another value here replaces buckets: it is a major release."""
    DataBucket(stack, "Features")
    resources = Template.from_stack(stack).to_json()["Resources"]
    kept = {id for id, resource in resources.items() if resource.get("DeletionPolicy") == "Retain"}
    assert kept == {BUCKET, KEY, "FeaturesAccessLogsBucket81EA37E3"}


@pytest.mark.promise("private-buckets")
def test_it_is_private_encrypted_and_reached_over_tls_only(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features")
    template = Template.from_stack(stack)
    key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": [KEY, "Arn"]}}
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": key, "BucketKeyEnabled": True}]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        },
    )
    anything = [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *bucket_statements(template, BUCKET)]
    assert allows(anything, "s3:GetObject", CHURN, aws__SecureTransport="true")
    assert not allows(anything, "s3:GetObject", CHURN, aws__SecureTransport="false")


def test_an_upload_under_anything_but_the_key_of_the_bucket_is_refused(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features")
    refusals = [
        each
        for each in bucket_statements(Template.from_stack(stack), BUCKET)
        if str(each.get("Sid")).startswith("Refuse")
    ]
    policy = [{"Effect": "Allow", "Action": "*", "Resource": "*"}, *refusals]

    def stores(**headers: str) -> bool:
        return allows(policy, "s3:PutObject", CHURN, **{f"s3__x_amz_{name}": value for name, value in headers.items()})

    own, foreign = f"<{KEY}.Arn>", "arn:aws:kms:eu-west-1:222222222222:key/1234abcd"
    algorithm, key = "server_side_encryption", "server_side_encryption_aws_kms_key_id"
    assert stores()
    assert stores(**{algorithm: "aws:kms", key: own})
    assert not stores(**{algorithm: "AES256"})
    assert not stores(**{algorithm: "aws:kms:dsse", key: own})
    assert not stores(**{algorithm: "aws:kms"})
    assert not stores(**{algorithm: "aws:kms", key: foreign})
    assert not stores(server_side_encryption_customer_algorithm="AES256")


@pytest.mark.promise("recoverable-objects")
def test_what_was_replaced_or_deleted_can_be_restored_for_a_while(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features", restore_days=14)
    former = {
        "Id": "Former",
        "Status": "Enabled",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 14},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        "ExpiredObjectDeleteMarker": True,
    }
    Template.from_stack(stack).has_resource_properties(
        "AWS::S3::Bucket",
        {
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {"Rules": Match.array_with([former])},
        },
    )


@pytest.mark.promise("recoverable-objects")
def test_objects_move_to_cheaper_storage_and_expire_if_requested(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features", tiering_days=0, expiration_days=365)
    current = {
        "Id": "Current",
        "Status": "Enabled",
        "Transitions": [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": 0}],
        "ExpirationInDays": 365,
    }
    Template.from_stack(stack).has_resource_properties(
        "AWS::S3::Bucket", {"LifecycleConfiguration": {"Rules": Match.array_with([current])}}
    )


def test_events_reach_event_bridge_without_a_function(stack: cdk.Stack) -> None:
    DataBucket(stack, "Models", events=True)
    template = Template.from_stack(stack)
    enabled = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    template.has_resource_properties("AWS::S3::Bucket", {"NotificationConfiguration": enabled})
    template.resource_count_is("AWS::Lambda::Function", 0)


def test_a_reader_reads_one_prefix_and_cannot_write(app: cdk.App, stack: cdk.Stack) -> None:
    DataBucket(stack, "Features").grant_read(role(stack), "churn/*")
    reader = statements_of_role(stack)
    assert allows(reader, "s3:GetObject", CHURN)
    assert allows(reader, "kms:Decrypt", f"<{KEY}.Arn>")
    assert allows(reader, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="churn/2026/")
    assert not allows(reader, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="fraud/")
    assert not allows(reader, "s3:ListBucket", f"<{BUCKET}.Arn>")
    assert not allows(reader, "s3:GetObject", FRAUD)
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl"):
        assert not allows(reader, action, CHURN)
    assert not allows(reader, "kms:GenerateDataKey", f"<{KEY}.Arn>")


def test_a_lister_sees_names_of_all_objects_and_reads_none(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features").grant_list(role(stack))
    lister = statements_of_role(stack)
    assert allows(lister, "s3:ListBucket", f"<{BUCKET}.Arn>")
    assert allows(lister, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="fraud/")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert not allows(lister, action, CHURN)
    assert not allows(lister, "kms:Decrypt", f"<{KEY}.Arn>")


def test_a_reader_without_listing_reads_objects_whose_names_it_knows(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features").grant_read(role(stack), "churn/*", listing=False)
    reader = statements_of_role(stack)
    assert allows(reader, "s3:GetObject", CHURN)
    assert allows(reader, "kms:Decrypt", f"<{KEY}.Arn>")
    assert not allows(reader, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="churn/2026/")


def test_a_writer_writes_one_prefix_and_can_neither_read_nor_delete(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features").grant_write(role(stack), "churn/*")
    writer = statements_of_role(stack)
    assert allows(writer, "s3:PutObject", CHURN)
    assert allows(writer, "kms:GenerateDataKey", f"<{KEY}.Arn>")
    assert not allows(writer, "s3:PutObject", FRAUD)
    for action in ("s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert not allows(writer, action, CHURN)


def test_who_deletes_cannot_delete_former_versions(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features").grant_delete(role(stack), "churn/*")
    assert allows(statements_of_role(stack), "s3:DeleteObject", CHURN)
    assert not allows(statements_of_role(stack), "s3:DeleteObject", FRAUD)
    assert not allows(statements_of_role(stack), "s3:DeleteObjectVersion", CHURN)


def test_grants_pass_the_compliance_pack_in_this_stack_and_in_another(app: cdk.App, stack: cdk.Stack) -> None:
    bucket = DataBucket(stack, "Features")
    other = cdk.Stack(app, "Other", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    for each in (stack, other):
        bucket.grant_read(role(each), "churn/*")
        bucket.grant_write(each.node.find_child("Role"), "churn/*")
        bucket.grant_delete(each.node.find_child("Role"))
    assert_complies(app)


def test_a_wildcard_of_another_construct_is_still_a_finding(app: cdk.App, stack: cdk.Stack) -> None:
    reader = role(stack)
    DataBucket(stack, "Features").grant_read(reader, "churn/*")
    reader.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=["arn:aws:s3:::other/*"]))
    with pytest.raises(RuntimeError, match=r"IAM5\[Resource::arn:aws:s3:::other/\*\]"):
        app.synth()


def test_a_role_of_another_account_is_allowed_by_bucket_and_key(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features").grant_read(iam.ArnPrincipal("arn:aws:iam::222222222222:role/Reader"), "churn/*")
    template = Template.from_stack(stack)
    arn = "arn:aws:iam::222222222222:role/Reader"
    assert allows(bucket_statements(template, BUCKET), "s3:GetObject", CHURN, principal=arn)
    assert not allows(bucket_statements(template, BUCKET), "s3:GetObject", CHURN, principal=arn.replace("222", "333"))
    statement = {"Action": "kms:Decrypt", "Effect": "Allow", "Principal": {"AWS": arn}}
    template.has_resource_properties(
        "AWS::KMS::Key", {"KeyPolicy": {"Statement": Match.array_with([Match.object_like(statement)])}}
    )


def test_a_bucket_without_retention_empties_itself(stack: cdk.Stack) -> None:
    DataBucket(stack, "Features", removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    template.all_resources("AWS::S3::Bucket", {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"})
    template.all_resources("AWS::KMS::Key", {"DeletionPolicy": "Delete"})
    emptied = template.find_resources("Custom::S3AutoDeleteObjects").values()
    assert BUCKET in {flat(each["Properties"]["BucketName"])[1:-1] for each in emptied}
    tag = {"Key": "aws-cdk:auto-delete-objects", "Value": "true"}
    template.all_resources_properties("AWS::S3::Bucket", {"Tags": Match.array_with([tag])})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"restore_days": 0}, "restore_days must be 1 or more, got 0"),
        ({"tiering_days": -1}, "tiering_days must be 0 or more, got -1"),
        ({"expiration_days": 30}, "expiration_days must be more than tiering_days, got 30 and 30"),
    ],
)
def test_refuses_a_lifecycle_that_cannot_be(stack: cdk.Stack, arguments: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=f"^Test/Features: {said}"):
        DataBucket(stack, "Features", **arguments)
    assert not stack.node.find_child("Features").node.children


@pytest.mark.parametrize("prefix", ["", "/churn/*"])
def test_refuses_a_prefix_that_no_object_has(stack: cdk.Stack, prefix: str) -> None:
    features = DataBucket(stack, "Features")
    for grant in (features.grant_read, features.grant_write, features.grant_delete):
        with pytest.raises(ValueError, match="Test/Features: prefix must (not be empty or start with '/'|end with)"):
            grant(iam.AccountRootPrincipal(), prefix)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    DataBucket(stack, "Features", events=True, removal_policy=cdk.RemovalPolicy.DESTROY)
    assert_complies(app)
