from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template

from config.storage import CollectedData, Lustre, Storage
from mlplatform_constructs import Network
from stacks.account.storage import StorageReplicaStack, StorageStack
from stacks.app import new_app
from tests.compliance import assert_complies
from tests.policies import allows, flat, identity_statements, many
from tests.protection import protection

ENV = cdk.Environment(account="111111111111", region="eu-west-1")
EMPTIED = "Custom::S3AutoDeleteObjects"
KEPT = cdk.RemovalPolicy.RETAIN
GONE = cdk.RemovalPolicy.DESTROY
EVERYTHING = Storage(replica_region="eu-central-1", lustre=Lustre())


def make_storage(
    app: cdk.App, settings: Storage | None = None, *, removal_policy: cdk.RemovalPolicy = KEPT
) -> StorageStack:
    """The storage of a platform, with a network and a key from a stack before it."""
    settings = settings or EVERYTHING
    stage = cdk.Stage(app, "dev", env=ENV)
    before = cdk.Stack(stage, "Before")
    zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    protected = protection(before, removal_policy=removal_policy)
    replica = None
    if settings.replica_region:
        replica = StorageReplicaStack(
            stage,
            "StorageReplica",
            region=settings.replica_region,
            settings=settings,
            protection=protected,
        )
    return StorageStack(
        stage,
        "Storage",
        vpc=Network(before, "Network", availability_zones=zones).vpc,
        settings=settings,
        protection=protected,
        replica=replica,
    )


def replica_of(storage: StorageStack) -> StorageReplicaStack:
    replica = storage.node.scope.node.find_child("StorageReplica")
    assert isinstance(replica, StorageReplicaStack)
    return replica


def buckets(template: Template) -> dict[str, Any]:
    """Properties of each bucket by the name of its construct, without those that hold access logs."""
    return {
        id.removesuffix(id[-8:]).removesuffix("Bucket"): bucket["Properties"]
        for id, bucket in template.find_resources("AWS::S3::Bucket").items()
        if not id.startswith("AccessLogs")
    }


@pytest.mark.promise(
    "private-buckets", "recoverable-objects", "collected-data-read-only", "model-repository", "bucket-per-kind"
)
def test_there_is_a_bucket_for_each_kind_of_data(app: cdk.App) -> None:
    found = buckets(Template.from_stack(make_storage(app)))
    assert sorted(found) == ["Artifacts", "CollectedData", "Features", "Metrics", "Models", "Predictions"]
    for bucket in found.values():
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert "LoggingConfiguration" in bucket


@pytest.mark.promise("recoverable-objects", "bucket-per-kind")
def test_the_lifecycle_is_the_buckets_own(app: cdk.App) -> None:
    settings = Storage(prediction_days=60, metric_days=400, artifact_days=100, restore_days=7)
    found = buckets(Template.from_stack(make_storage(app, settings)))
    expiry = {
        name: [
            rule.get("ExpirationInDays") for rule in bucket["LifecycleConfiguration"]["Rules"] if "Transitions" in rule
        ]
        for name, bucket in found.items()
    }
    assert expiry == {
        "CollectedData": [None],
        "Features": [None],
        "Models": [None],
        "Predictions": [60],
        "Metrics": [400],
        "Artifacts": [100],
    }
    for bucket in found.values():
        (restore,) = [each for each in bucket["LifecycleConfiguration"]["Rules"] if each["Id"] == "Former"]
        assert restore["NoncurrentVersionExpiration"] == {"NoncurrentDays": 7}


@pytest.mark.promise("atomic-model-versions")
def test_a_new_model_is_an_event(app: cdk.App) -> None:
    """Every subscriber of the repository's events receives every version."""
    found = buckets(Template.from_stack(make_storage(app)))
    told = {name for name, bucket in found.items() if "NotificationConfiguration" in bucket}
    assert told == {"Models"}


@pytest.mark.promise("second-region-copy")
def test_copies_lie_in_another_region_with_the_same_lifecycle(app: cdk.App) -> None:
    storage = make_storage(app)
    replica = replica_of(storage)
    assert replica.region == "eu-central-1"
    assert replica in storage.dependencies
    here, there = buckets(Template.from_stack(storage)), buckets(Template.from_stack(replica))
    copied = {name for name, bucket in here.items() if "ReplicationConfiguration" in bucket}
    assert copied == set(there) == {"Features", "Metrics", "Models", "Predictions"}
    for name in copied:
        (rule,) = here[name]["ReplicationConfiguration"]["Rules"]
        assert f".{name}Bucket" in flat(rule["Destination"]["Bucket"])
        assert here[name]["LifecycleConfiguration"] == there[name]["LifecycleConfiguration"]


def test_without_a_second_region_nothing_is_copied(app: cdk.App) -> None:
    found = buckets(Template.from_stack(make_storage(app, Storage())))
    assert not [name for name, bucket in found.items() if "ReplicationConfiguration" in bucket]


@pytest.mark.promise("collected-data-read-only")
def test_no_principal_of_this_account_may_change_collected_data(app: cdk.App) -> None:
    """This holds for all policies of all roles of the platform."""
    storage = make_storage(app, removal_policy=GONE)
    reader = iam.Role(storage, "Reader", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    storage.collected_data.grant_read(reader)
    template = Template.from_stack(storage)
    collected = flat(storage.resolve(storage.collected_data.bucket_arn))
    for role in template.find_resources("AWS::IAM::Role"):
        statements = identity_statements(template, role)
        for action in ("s3:PutObject", "s3:DeleteObject", "s3:ReplicateObject"):
            unconditional = [{**each, "Condition": {}} for each in statements]
            assert not allows(unconditional, action, f"{collected}/a"), role
    assert allows(identity_statements(template, "ReaderF7BF189D"), "s3:GetObject", f"{collected}/a")


@pytest.mark.promise("collected-data-read-only")
def test_collected_data_may_lie_in_its_owners_bucket(app: cdk.App) -> None:
    key = "arn:aws:kms:eu-west-1:222222222222:key/1"
    settings = Storage(collected_data=CollectedData(bucket_arn="arn:aws:s3:::lake", key_arn=key))
    storage = make_storage(app, settings)
    reader = iam.Role(storage, "Reader", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    storage.collected_data.grant_read(reader)
    template = Template.from_stack(storage)
    assert "CollectedData" not in buckets(template)
    resources = {flat(each["Resource"]) for each in identity_statements(template, "ReaderF7BF189D")}
    assert resources == {"arn:aws:s3:::lake", "arn:aws:s3:::lake/*", key}


def test_the_owners_roles_write_collected_data(app: cdk.App) -> None:
    writer = "arn:aws:iam::222222222222:role/Ingestion"
    storage = make_storage(app, Storage(collected_data=CollectedData(writer_role_arns=(writer,))))
    writes = {"Effect": "Allow", "Principal": {"AWS": writer}, "Action": Match.array_with(["s3:PutObject"])}
    Template.from_stack(storage).has_resource_properties(
        "AWS::S3::BucketPolicy", {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(writes)])}}
    )


@pytest.mark.promise("lustre-beside-s3")
def test_training_reads_features_through_lustre(app: cdk.App) -> None:
    settings = Storage(lustre=Lustre(capacity_gib=4800, throughput_mbps_per_tib=500, availability_zone="eu-west-1c"))
    template = Template.from_stack(make_storage(app, settings))
    template.has_resource_properties(
        "AWS::FSx::FileSystem",
        {
            "StorageCapacity": 4800,
            "LustreConfiguration": {"PerUnitStorageThroughput": 500},
            "SubnetIds": [{"Fn::ImportValue": Match.string_like_regexp("PrivateSubnet3")}],
        },
    )
    (link,) = template.find_resources("AWS::FSx::DataRepositoryAssociation").values()
    assert link["Properties"]["FileSystemPath"] == "/features"
    assert "Features" in flat(link["Properties"]["DataRepositoryPath"])


def test_without_lustre_there_is_none(app: cdk.App) -> None:
    Template.from_stack(make_storage(app, Storage())).resource_count_is("AWS::FSx::FileSystem", 0)


@pytest.mark.promise("shared-workspaces")
def test_workspaces_are_backed_up_if_they_are_retained(app: cdk.App) -> None:
    Template.from_stack(make_storage(app)).has_resource_properties(
        "AWS::EFS::FileSystem", {"Encrypted": True, "BackupPolicy": {"Status": "ENABLED"}}
    )


@pytest.mark.promise("immutable-images", "names-in-outputs")
def test_images_have_repositories_and_their_addresses_are_outputs(app: cdk.App) -> None:
    template = Template.from_stack(make_storage(app, Storage(repositories=("serving", "team-a"))))
    template.resource_count_is("AWS::ECR::Repository", 2)
    assert {"ServingRepositoryUri", "TeamARepositoryUri"} <= template.find_outputs("*").keys()


def test_everything_is_encrypted_with_the_keys_that_were_given(app: cdk.App) -> None:
    storage = make_storage(app)
    template = Template.from_stack(storage)
    (collected,) = template.find_resources("AWS::KMS::Key")
    assert collected.startswith("CollectedData")
    for type in ("AWS::EFS::FileSystem", "AWS::FSx::FileSystem"):
        template.has_resource_properties(type, {"KmsKeyId": {"Fn::ImportValue": Match.string_like_regexp("Data")}})


def test_resources_with_data_are_retained(app: cdk.App) -> None:
    """A changed id replaces the resource: a different value here is a major release."""
    storage = make_storage(app)
    assert kept(storage) == {
        "AccessLogsBucketCD784A59",
        "ArtifactsBucket88671897",
        "CollectedDataBucket9AEBEA96",
        "CollectedDataKey60DF785A",
        "FeaturesBucket128DD398",
        "ImagesnotebooksB1080CF3",
        "Imagesserving42CAE48F",
        "Imagestraining33BDD8AF",
        "LustreFileSystem4AFDAE78",
        "MetricsBucketDDAA8945",
        "ModelsBucket970C6ADA",
        "PredictionsBucketDFE03166",
        "WorkspacesFileSystem152F9B4F",
    }
    assert kept(replica_of(storage)) == {
        "AccessLogsBucketCD784A59",
        "FeaturesBucket128DD398",
        "Key961B73FD",
        "MetricsBucketDDAA8945",
        "ModelsBucket970C6ADA",
        "PredictionsBucketDFE03166",
    }


def kept(stack: cdk.Stack) -> set[str]:
    resources = Template.from_stack(stack).to_json()["Resources"]
    return {id for id, resource in resources.items() if resource.get("DeletionPolicy") == "Retain"}


def test_a_platform_without_retention_leaves_nothing(app: cdk.App) -> None:
    storage = make_storage(app, removal_policy=GONE)
    for stack in (storage, replica_of(storage)):
        assert kept(stack) == set()
        template = Template.from_stack(stack)
        emptied = {flat(each["Properties"]["BucketName"]) for each in template.find_resources(EMPTIED).values()}
        assert emptied == {f"<{id}>" for id in template.find_resources("AWS::S3::Bucket")}
    template = Template.from_stack(storage)
    template.all_resources_properties("AWS::ECR::Repository", {"EmptyOnDelete": True})
    template.all_resources_properties("AWS::EFS::FileSystem", {"BackupPolicy": Match.absent()})


def test_no_policy_admits_everybody(app: cdk.App) -> None:
    """But FSx's own roles, which a key policy can only name by a condition on this account."""
    storage = make_storage(app)
    for stack in (storage, replica_of(storage), storage.node.scope.node.find_child("Before")):
        resources = Template.from_stack(stack).to_json()["Resources"].values()
        for statement in (each for resource in resources for each in _statements(resource["Properties"])):
            if statement["Effect"] == "Allow" and statement.get("Principal") in ("*", {"AWS": "*"}):
                assert statement["Sid"] == "LustreThroughS3"
                assert statement["Condition"]["StringEquals"]["kms:CallerAccount"] == "111111111111"


def _statements(properties: dict[str, Any]) -> list[dict[str, Any]]:
    documents = [properties.get(name) for name in ("PolicyDocument", "KeyPolicy", "FileSystemPolicy")]
    return [statement for document in documents if document for statement in many(document["Statement"])]


@pytest.mark.parametrize("removal_policy", [KEPT, GONE])
def test_passes_the_compliance_pack(app: cdk.App, removal_policy: cdk.RemovalPolicy) -> None:
    make_storage(app, removal_policy=removal_policy)
    assert_complies(app)


@pytest.mark.promise("repeatable")
def test_two_syntheses_are_equal_byte_for_byte(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        app = new_app(outdir=str(folder))
        make_storage(app, removal_policy=GONE)
        app.synth()
    first, second = (
        {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.template.json"))}
        for folder in folders
    )
    assert len(first) == 3
    assert first == second
