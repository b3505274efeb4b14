import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion
from syrupy.matchers import path_type

from mlplatform_constructs import DataBucket, ModelRepository
from model_repository import Package, Repository
from tests.compliance import assert_complies
from tests.policies import Statement, allows, bucket_statements, identity_statements, many

BUCKET = "ModelBucketEBB1ADF4"
DOCUMENT = f"<{BUCKET}.Arn>/churn/versions/7.json"
MARKER = f"<{BUCKET}.Arn>/churn/versions/7.quarantine"
FILE = f"<{BUCKET}.Arn>/churn/packages/7/abc/model/weights.json"
OTHER = f"<{BUCKET}.Arn>/fraud/versions/7.json"
CREATED = {"s3__if_none_match": "*", "s3__ObjectCreationOperation": "true"}
REPLACED = {"s3__if_match": "abc", "s3__ObjectCreationOperation": "true"}
BLIND = {"s3__ObjectCreationOperation": "true"}
PART_OF_LARGE_FILE = {"s3__ObjectCreationOperation": "false"}


def model_repository(stack: cdk.Stack, **options: Any) -> ModelRepository:
    return ModelRepository(stack, "Models", bucket=DataBucket(stack, "ModelBucket", events=True), **options)


def somebody(stack: cdk.Stack, id: str = "Somebody") -> iam.Role:
    return iam.Role(stack, id, assumed_by=iam.ServicePrincipal("pods.eks.amazonaws.com"))


def role_id(template: Template, name: str) -> str:
    return next(id for id in template.find_resources("AWS::IAM::Role") if id.startswith(name))


def granted(stack: cdk.Stack, name: str = "Somebody") -> list[Statement]:
    """What a role may do to the bucket: its own policies, and the bucket's refusals."""
    template = Template.from_stack(stack)
    refusals = [each for each in bucket_statements(template, BUCKET) if each["Effect"] == "Deny"]
    return identity_statements(template, role_id(template, name)) + refusals


def may(statements: list[Statement], action: str, resource: str, **context: str) -> bool:
    return allows(statements, action, resource, aws__SecureTransport="true", **context)


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    model_repository(stack)
    template = Template.from_stack(stack).to_json()["Resources"]
    mine = {id: resource for id, resource in template.items() if id.startswith("Models")}
    assert mine == snapshot_json(matcher=path_type({".*S3Key": (str,)}, regex=True))


@pytest.mark.parametrize(
    ("verb", "documents"), [("grant_publish", {"s3:if-none-match": "false"}), ("grant_withdraw", None)]
)
def test_a_role_of_another_account_gets_the_same_from_the_bucket_and_the_key(
    app: cdk.App, stack: cdk.Stack, verb: str, documents: dict[str, str] | None
) -> None:
    role = iam.Role.from_role_arn(stack, "Foreign", "arn:aws:iam::222222222222:role/trainer")
    getattr(model_repository(stack), verb)(role, model="churn").assert_success()
    template = Template.from_stack(stack)
    allowed = [
        each
        for each in bucket_statements(template, BUCKET)
        if each["Effect"] == "Allow" and "222222222222:role/trainer" in str(each["Principal"])
    ]
    (put,) = [each for each in allowed if "versions/*.json" in str(each["Resource"])]
    assert put["Action"] == "s3:PutObject"
    assert put.get("Condition", {}).get("Null") == documents
    for action in ("s3:GetObject", "s3:ListBucket"):
        assert [each for each in allowed if action in many(each["Action"])]
    (key,) = [each for id, each in template.find_resources("AWS::KMS::Key").items() if id.startswith("ModelBucketKey")]
    assert "222222222222:role/trainer" in str(key["Properties"]["KeyPolicy"])


@pytest.mark.promise("atomic-model-versions")
def test_a_version_and_its_files_cannot_be_overwritten(stack: cdk.Stack) -> None:
    model_repository(stack)
    anything = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*"}]
    statements = anything + bucket_statements(Template.from_stack(stack), BUCKET)
    for path in (DOCUMENT, FILE):
        assert may(statements, "s3:PutObject", path, **CREATED)
        assert not may(statements, "s3:PutObject", path, **BLIND)
    assert may(statements, "s3:PutObject", DOCUMENT, **REPLACED)
    assert not may(statements, "s3:PutObject", FILE, **REPLACED)
    assert may(statements, "s3:PutObject", FILE, **PART_OF_LARGE_FILE)


def test_a_reader_of_one_model_reads_it_and_nothing_else(stack: cdk.Stack) -> None:
    model_repository(stack).grant_read(somebody(stack), model="churn")
    statements = granted(stack)
    assert may(statements, "s3:GetObject", DOCUMENT)
    assert may(statements, "s3:GetObject", FILE)
    assert may(statements, "s3:GetObject", MARKER)
    assert may(statements, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="churn/versions/")
    assert not may(statements, "s3:GetObject", OTHER)
    assert not may(statements, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="fraud/versions/")
    for path in (DOCUMENT, MARKER, FILE):
        for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
            assert not may(statements, action, path, **CREATED)


@pytest.mark.promise("atomic-model-versions")
def test_a_publisher_of_one_model_adds_versions_and_can_neither_change_nor_delete_any(stack: cdk.Stack) -> None:
    model_repository(stack).grant_publish(somebody(stack), model="churn")
    statements = granted(stack)
    for path in (DOCUMENT, FILE):
        assert may(statements, "s3:GetObject", path)
        assert may(statements, "s3:PutObject", path, **CREATED)
        assert not may(statements, "s3:PutObject", path, **BLIND)
        assert not may(statements, "s3:PutObject", path, **REPLACED)
        assert not may(statements, "s3:DeleteObject", path)
    assert may(statements, "s3:PutObject", FILE, **PART_OF_LARGE_FILE)
    assert may(statements, "s3:AbortMultipartUpload", FILE)
    assert not may(statements, "s3:PutObject", OTHER, **CREATED)
    assert not may(statements, "s3:PutObject", MARKER, **CREATED)


def test_who_may_withdraw_changes_documents_only(stack: cdk.Stack) -> None:
    model_repository(stack).grant_withdraw(somebody(stack), model="churn")
    statements = granted(stack)
    assert may(statements, "s3:PutObject", DOCUMENT, **REPLACED)
    assert may(statements, "s3:PutObject", DOCUMENT, **CREATED)
    assert not may(statements, "s3:PutObject", DOCUMENT, **BLIND)
    for path in (FILE, MARKER, OTHER):
        assert not may(statements, "s3:PutObject", path, **CREATED)
    for path in (DOCUMENT, FILE, MARKER):
        assert not may(statements, "s3:DeleteObject", path)


def test_grants_without_a_model_are_for_all_models(stack: cdk.Stack) -> None:
    models = model_repository(stack)
    role = somebody(stack)
    for grant in (models.grant_read, models.grant_publish, models.grant_withdraw):
        grant(role)
    statements = granted(stack)
    for path in (DOCUMENT, OTHER):
        assert may(statements, "s3:GetObject", path)
        assert may(statements, "s3:PutObject", path, **CREATED)
        assert may(statements, "s3:PutObject", path, **REPLACED)
    assert may(statements, "s3:ListBucket", f"<{BUCKET}.Arn>", s3__prefix="")


def test_grants_open_the_key(stack: cdk.Stack) -> None:
    models = model_repository(stack)
    models.grant_read(somebody(stack, "Reader"))
    models.grant_publish(somebody(stack, "Publisher"))
    models.grant_withdraw(somebody(stack, "Withdrawer"))
    key = f"<{next(iter(Template.from_stack(stack).find_resources('AWS::KMS::Key')))}.Arn>"
    for name, writes in (("Reader", False), ("Publisher", True), ("Withdrawer", True)):
        assert may(granted(stack, name), "kms:Decrypt", key)
        assert may(granted(stack, name), "kms:GenerateDataKey", key) == writes


def test_the_check_quarantines_and_clears_away_and_cannot_delete_a_version(stack: cdk.Stack) -> None:
    model_repository(stack)
    statements = granted(stack, "ModelsCheckRole")
    assert may(statements, "s3:PutObject", MARKER)
    assert may(statements, "s3:PutObject", DOCUMENT, **CREATED)
    assert may(statements, "s3:DeleteObject", MARKER)
    assert may(statements, "s3:DeleteObject", FILE)
    assert not may(statements, "s3:PutObject", DOCUMENT, **BLIND)
    assert not may(statements, "s3:PutObject", FILE, **CREATED)
    assert not may(statements, "s3:DeleteObject", DOCUMENT)
    assert not may(statements, "s3:DeleteObjectVersion", FILE)


def test_the_check_runs_on_every_change_of_a_version_and_once_a_day(stack: cdk.Stack) -> None:
    model_repository(stack)
    template = Template.from_stack(stack)
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created", "Object Deleted"],
        "detail": {
            "bucket": {"name": [{"Ref": BUCKET}]},
            "object": {"key": [{"wildcard": "*/versions/*.json"}, {"wildcard": "*/packages/*"}]},
        },
    }
    template.has_resource_properties("AWS::Events::Rule", {"EventPattern": pattern, "State": "ENABLED"})
    template.has_resource_properties("AWS::Events::Rule", {"ScheduleExpression": "rate(1 day)"})
    template.resource_properties_count_is("AWS::Events::Rule", {"Targets": [Match.any_value()]}, 2)


def test_the_rule_goes_before_the_bucket_is_emptied(stack: cdk.Stack) -> None:
    bucket = DataBucket(stack, "ModelBucket", events=True, removal_policy=cdk.RemovalPolicy.DESTROY)
    ModelRepository(stack, "Models", bucket=bucket)
    rules = Template.from_stack(stack).find_resources("AWS::Events::Rule").values()
    changed = next(rule for rule in rules if "EventPattern" in rule["Properties"])
    assert any(name.startswith("ModelBucketAutoDeleteObjects") for name in changed["DependsOn"])


def test_alarms_tell_the_topic_of_quarantined_versions_and_of_a_failing_check(stack: cdk.Stack) -> None:
    topic = sns.Topic(stack, "Topic", enforce_ssl=True)
    models = model_repository(stack, alarm_topic=topic)
    assert len(models.alarms) == 2
    template = Template.from_stack(stack)
    told = {"AlarmActions": [Match.any_value()], "Threshold": 1, "TreatMissingData": "notBreaching"}
    dimensions = [{"Name": "Bucket", "Value": {"Ref": BUCKET}}]
    metric = {"Namespace": "MLPlatform/ModelRepository", "MetricName": "QuarantinedVersions", "Dimensions": dimensions}
    template.has_resource_properties("AWS::CloudWatch::Alarm", {**told, **metric})
    template.has_resource_properties("AWS::CloudWatch::Alarm", {**told, "MetricName": "Errors"})


def test_the_log_is_encrypted_and_kept_as_asked(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "LogKey", enable_key_rotation=True)
    model_repository(stack, log_encryption_key=key, log_retention=logs.RetentionDays.ONE_MONTH)
    Template.from_stack(stack).has_resource(
        "AWS::Logs::LogGroup",
        {"Properties": {"KmsKeyId": Match.any_value(), "RetentionInDays": 30}, "DeletionPolicy": "Retain"},
    )


@pytest.mark.parametrize("days", [0, 366])
def test_fails_when_publishers_would_be_given_up_too_soon_or_never(stack: cdk.Stack, days: int) -> None:
    with pytest.raises(ValueError, match=f"Test/Models: abandoned_days must be 1 to 365, got {days}; younger files"):
        model_repository(stack, abandoned_days=days)


def test_fails_when_the_bucket_sends_no_events(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Models: bucket Test/Quiet sends no events; create it with events=True"):
        ModelRepository(stack, "Models", bucket=DataBucket(stack, "Quiet"))


@pytest.mark.parametrize("model", ["", "Churn", "churn/*", "*", "churn-", "x" * 64])
def test_fails_when_a_grant_names_no_model(stack: cdk.Stack, model: str) -> None:
    models = model_repository(stack)
    for grant in (models.grant_read, models.grant_publish, models.grant_withdraw):
        with pytest.raises(ValueError, match="Test/Models: model must be 1 to 63 lower-case letters, digits and hyph"):
            grant(somebody(cdk.Stack(stack, grant.__name__)), model=model)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    models = model_repository(stack)
    role = somebody(stack)
    for grant in (models.grant_read, models.grant_publish, models.grant_withdraw):
        grant(role, model="churn")
    assert_complies(app)


def test_the_functions_code_is_its_own_folder_and_nothing_else(app: cdk.App, stack: cdk.Stack) -> None:
    model_repository(stack)
    assets = Path(app.synth().directory).glob("asset.*")
    names = {path.name for asset in assets for path in asset.rglob("*.py")}
    assert names == {"__init__.py", "custom_resource.py", "index.py"}


@pytest.fixture
def deployed(stack: cdk.Stack, deploy: Callable[[], dict[str, str]]) -> str:
    """The repository in an AWS emulator: the name of its bucket."""
    model_repository(stack, removal_policy=cdk.RemovalPolicy.DESTROY)
    return deploy()[BUCKET]


def assert_eventually(holds: Callable[[], bool]) -> None:
    """Wait until ``holds`` does, for a minute at most."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come in a minute"
        time.sleep(0.2)


@pytest.mark.promise("model-repository", "atomic-model-versions")
def test_a_version_that_loses_a_file_is_quarantined_in_an_embedded_aws(
    deployed: str, aws: Callable[[str], Any], tmp_path: Path
) -> None:
    """Publisher, bucket, events, rule and function work together, each by the service's own API."""
    s3 = aws("s3")
    repository = Repository(deployed, client=s3)
    package = Package.read(write_package(tmp_path / "package"))
    document = repository.publish(package, model="churn").document
    key = repository.uri(document, "model/predictor.py").removeprefix(f"s3://{deployed}/")
    gone = s3.delete_object(Bucket=deployed, Key=key)["VersionId"]
    assert_eventually(lambda: [entry.state for entry in repository.versions("churn")] == ["quarantined"])
    s3.delete_object(Bucket=deployed, Key=key, VersionId=gone)
    assert_eventually(lambda: [entry.state for entry in repository.versions("churn")] == ["published"])
    repository.withdraw("churn", 1, reason="wrong week")
    assert_eventually(lambda: s3.list_objects_v2(Bucket=deployed).get("KeyCount") == 1)


def write_package(folder: Path) -> Path:
    metadata = {
        "description": "doubles",
        "training": {"data": ["s3://features/x"], "code": "7c7d0ad", "run": "run-1"},
        "parameters": {},
        "metrics": {},
        "entry_points": {
            "feature_extractor": "feature_extractor/extractor.py:extract",
            "model": "model/predictor.py:load",
        },
    }
    files = {
        "metadata.json": json.dumps(metadata),
        "model/predictor.py": "load = lambda folder: lambda features: 2 * features\n",
        "feature_extractor/extractor.py": "extract = abs\n",
        "sample/records.jsonl": '{"record": -2, "prediction": 4}\n',
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder
