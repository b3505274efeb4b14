import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
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
from tests.policies import Statement, allows, bucket_statements, identity_statements

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


def test_nobody_overwrites_a_version_or_a_file_of_one(stack: cdk.Stack) -> None:
    """Row 112."""
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


def test_a_publisher_of_one_model_adds_versions_and_can_neither_change_nor_delete_any(stack: cdk.Stack) -> None:
    """Row 112."""
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
    statements = granted(stack, "ModelsRole")
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


def test_fails_when_nobody_is_told_of_changes(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Models: bucket Test/Quiet tells nobody of its objects; make it with ev"):
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
    app.synth()


def test_the_functions_code_is_its_own_folder_and_nothing_else(app: cdk.App, stack: cdk.Stack) -> None:
    model_repository(stack)
    assets = Path(app.synth().directory).glob("asset.*")
    assert {path.name for asset in assets for path in asset.rglob("*")} == {"__init__.py", "index.py"}


@pytest.fixture
def deployed(app: cdk.App, stack: cdk.Stack, aws: Callable[[str], Any]) -> Iterator[str]:
    """The repository in an embedded AWS: the name of its bucket."""
    model_repository(stack, removal_policy=cdk.RemovalPolicy.DESTROY)
    assembly = Path(app.synth().directory)
    assets = "cdk-hnb659fds-assets-111111111111-eu-west-1"
    s3, cloudformation = aws("s3"), aws("cloudformation")
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=assets, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True)
    for folder in assembly.glob("asset.*"):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for path in folder.rglob("*"):
                file.write(path, path.relative_to(folder))
        s3.put_object(Bucket=assets, Key=f"{folder.name.removeprefix('asset.')}.zip", Body=archive.getvalue())
    s3.upload_file(str(assembly / "Test.template.json"), assets, "models.json")
    url = f"https://s3.amazonaws.com/{assets}/models.json"
    cloudformation.create_stack(StackName="Models", TemplateURL=url, Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName="Models", WaiterConfig={"Delay": 1})
    resources = cloudformation.describe_stack_resources(StackName="Models")["StackResources"]
    yield next(each["PhysicalResourceId"] for each in resources if each["LogicalResourceId"] == BUCKET)
    cloudformation.delete_stack(StackName="Models")


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until ``holds`` does, for a minute at most."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not come in a minute"
        time.sleep(0.2)


def test_a_version_that_loses_a_file_is_quarantined_in_an_embedded_aws(
    deployed: str, aws: Callable[[str], Any], tmp_path: Path
) -> None:
    """Rows 111, 112: publisher, bucket, events, rule and function together, each by the service's own API."""
    s3 = aws("s3")
    repository = Repository(deployed, client=s3)
    package = Package.read(write_package(tmp_path / "package"))
    document = repository.publish(package, model="churn").document
    key = repository.uri(document, "model/predictor.py").removeprefix(f"s3://{deployed}/")
    gone = s3.delete_object(Bucket=deployed, Key=key)["VersionId"]
    eventually(lambda: [entry.state for entry in repository.versions("churn")] == ["quarantined"])
    s3.delete_object(Bucket=deployed, Key=key, VersionId=gone)
    eventually(lambda: [entry.state for entry in repository.versions("churn")] == ["published"])
    repository.withdraw("churn", 1, reason="wrong week")
    eventually(lambda: s3.list_objects_v2(Bucket=deployed).get("KeyCount") == 1)


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
