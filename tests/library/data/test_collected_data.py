import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import CollectedData, CollectedDataSource
from tests.compliance import assert_complies
from tests.policies import allows, bucket_statements, identity_statements

OWNER = "arn:aws:iam::222222222222:role/Ingestion"
BUCKET = "CollectedDataBucket3E5A8546"
OBJECT = f"<{BUCKET}.Arn>/raw/a"
CHANGES = ("s3:PutObject", "s3:PutObjectTagging", "s3:ReplicateObject", "s3:DeleteObject", "s3:DeleteObjectVersion")
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))


def existing(stack: cdk.Stack, *, encrypted: bool = True) -> CollectedDataSource:
    key = "arn:aws:kms:eu-west-1:222222222222:key/11111111-2222-3333-4444-555555555555"
    bucket = s3.Bucket.from_bucket_attributes(
        stack,
        "Theirs",
        bucket_arn="arn:aws:s3:::lake",
        account="222222222222",
        encryption_key=kms.Key.from_key_arn(stack, "TheirKey", key) if encrypted else None,
    )
    return CollectedDataSource.existing(bucket)


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    CollectedData(stack, "Collected", source=CollectedDataSource.held(writer_role_arns=[OWNER]))
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("collected-data-read-only")
def test_in_a_bucket_that_we_hold_only_the_owner_changes_anything(stack: cdk.Stack) -> None:
    """Not even an administrator of this account can change it."""
    CollectedData(stack, "Collected", source=CollectedDataSource.held(writer_role_arns=[OWNER]))
    policy = bucket_statements(Template.from_stack(stack), BUCKET)
    for action in CHANGES:
        administrator = "arn:aws:iam::111111111111:role/Admin"
        assert not allows([EVERYTHING, *policy], action, OBJECT, administrator, aws__PrincipalArn=administrator)
        assert allows([EVERYTHING, *policy], action, OBJECT, OWNER, aws__PrincipalArn=OWNER)
    assert allows(policy, "s3:PutObject", OBJECT, OWNER, aws__PrincipalArn=OWNER)
    assert not allows(policy, "s3:PutObject", OBJECT, OWNER.replace("Ingestion", "Other"))


@pytest.mark.promise("collected-data-read-only")
def test_without_an_owner_no_principal_changes_anything(stack: cdk.Stack) -> None:
    CollectedData(stack, "Collected", source=CollectedDataSource.held())
    policy = bucket_statements(Template.from_stack(stack), BUCKET)
    assert not [action for action in CHANGES if allows([EVERYTHING, *policy], action, OBJECT, OWNER)]


@pytest.mark.promise("collected-data-read-only")
def test_a_reader_reads_what_we_hold_and_cannot_write(stack: cdk.Stack) -> None:
    source = CollectedDataSource.held(writer_role_arns=[OWNER])
    CollectedData(stack, "Collected", source=source).grant_read(role(stack), "raw/*")
    reader = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    assert allows(reader, "s3:GetObject", OBJECT)
    assert not allows(reader, "s3:GetObject", OBJECT.replace("raw", "cleansed"))
    assert not [action for action in CHANGES if allows(reader, action, OBJECT)]


@pytest.mark.promise("collected-data-read-only")
def test_a_reader_reads_what_the_owner_holds_and_cannot_write(app: cdk.App, stack: cdk.Stack) -> None:
    CollectedData(stack, "Collected", source=existing(stack)).grant_read(role(stack), "cleansed/*")
    reader = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    assert allows(reader, "s3:GetObject", "arn:aws:s3:::lake/cleansed/a")
    assert not [action for action in CHANGES if allows(reader, action, "arn:aws:s3:::lake/cleansed/a")]
    assert {statement["Resource"] for statement in reader if statement["Action"] == "kms:Decrypt"} == {
        "arn:aws:kms:eu-west-1:222222222222:key/11111111-2222-3333-4444-555555555555"
    }
    app.synth()


def test_an_existing_bucket_may_have_no_key(app: cdk.App, stack: cdk.Stack) -> None:
    CollectedData(stack, "Collected", source=existing(stack, encrypted=False)).grant_read(role(stack))
    reader = identity_statements(Template.from_stack(stack), "Role1ABCC5F0")
    assert not [statement for statement in reader if "kms:Decrypt" in statement["Action"]]
    Template.from_stack(stack).resource_count_is("AWS::S3::Bucket", 0)


@pytest.mark.promise("collected-data-read-only")
def test_reading_is_the_only_verb() -> None:
    assert [name for name in vars(CollectedData) if not name.startswith("_")] == ["grant_read"]


@pytest.mark.promise("collected-data-read-only")
def test_the_attributes_are_names_and_not_the_bucket(stack: cdk.Stack) -> None:
    collected = CollectedData(stack, "Collected", source=CollectedDataSource.held())
    attributes = {name: value for name, value in vars(collected).items() if not name.startswith("_")}
    assert set(attributes) == {"bucket_name", "bucket_arn"}
    assert all(isinstance(value, str) for value in attributes.values())


def test_the_owner_uses_a_key_that_opens_nothing_else_and_only_through_s3(stack: cdk.Stack) -> None:
    CollectedData(stack, "Collected", source=CollectedDataSource.held(writer_role_arns=[OWNER]))
    statement = {
        "Sid": "OwnerThroughS3",
        "Effect": "Allow",
        "Principal": {"AWS": OWNER},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
    }
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::KMS::Key", 1)
    template.has_resource_properties("AWS::KMS::Key", {"KeyPolicy": {"Statement": Match.array_with([statement])}})


def test_a_bucket_that_may_go_can_be_emptied(stack: cdk.Stack) -> None:
    source = CollectedDataSource.held(writer_role_arns=[OWNER])
    CollectedData(stack, "Collected", source=source, removal_policy=cdk.RemovalPolicy.DESTROY)
    policy = bucket_statements(Template.from_stack(stack), BUCKET)
    assert allows([EVERYTHING, *policy], "s3:DeleteObjectVersion", OBJECT)
    assert not allows([EVERYTHING, *policy], "s3:PutObject", OBJECT)


def test_refuses_a_writer_that_is_no_role(stack: cdk.Stack) -> None:
    source = CollectedDataSource.held(writer_role_arns=["222222222222"])
    with pytest.raises(
        ValueError, match="Test/Collected: writer_role_arns must be an ARN such as .*:role/NAME, got '222222222222'"
    ):
        CollectedData(stack, "Collected", source=source)


def test_refuses_a_prefix_that_no_object_has(stack: cdk.Stack) -> None:
    collected = CollectedData(stack, "Collected", source=CollectedDataSource.held())
    with pytest.raises(ValueError, match="Test/Collected: prefix must not be empty or start with '/', got '/raw'"):
        collected.grant_read(iam.AccountRootPrincipal(), "/raw")


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    source = CollectedDataSource.held(writer_role_arns=[OWNER])
    CollectedData(stack, "Collected", source=source).grant_read(role(stack))
    assert_complies(app)
