from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk.assertions import Match, Template
from botocore.stub import Stubber

from mlplatform_constructs import AirflowEnvironment, ConfigurationError, Network
from mlplatform_constructs._workloads.airflow_dags_handler import index
from tests.compliance import assert_complies
from tests.policies import flat, many


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    (folder / "team").mkdir(parents=True)
    (folder / "nightly.py").write_text("nightly = 1\n")
    (folder / "team" / "weekly.py").write_text("weekly = 1\n")
    (folder / "notes.txt").write_text("no DAG")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("")
    return folder


def airflow(stack: cdk.Stack, dags: Path, **options: Any) -> AirflowEnvironment:
    network = Network(stack, "Network", availability_zones=["eu-west-1a", "eu-west-1b", "eu-west-1c"])
    return AirflowEnvironment(stack, "Airflow", **{"vpc": network.vpc, "dags": str(dags), **options})


def environment(stack: cdk.Stack) -> dict[str, Any]:
    [found] = Template.from_stack(stack).find_resources("AWS::MWAA::Environment").values()
    properties: dict[str, Any] = found["Properties"]
    return properties


@pytest.mark.promise("airflow")
def test_the_web_server_is_private_and_everything_is_encrypted_with_one_key(stack: cdk.Stack, dags: Path) -> None:
    airflow(stack, dags)
    found = environment(stack)
    assert found["WebserverAccessMode"] == "PRIVATE_ONLY"
    assert len(found["NetworkConfiguration"]["SubnetIds"]) == 2
    key = found["KmsKey"]
    template = Template.from_stack(stack)
    groups = template.find_resources(
        "AWS::Logs::LogGroup", {"Properties": {"LogGroupName": Match.string_like_regexp("^airflow-")}}
    ).values()
    parts = sorted(each["Properties"]["LogGroupName"].rpartition("-")[2] for each in groups)
    assert parts == ["DAGProcessing", "Scheduler", "Task", "WebServer", "Worker"]
    assert {flat(each["Properties"]["KmsKeyId"]) for each in groups} == {flat(key)}
    bucket = {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"KMSMasterKeyID": key}}]}
    template.has_resource_properties("AWS::S3::Bucket", {"BucketEncryption": bucket})
    assert all(each["Enabled"] for each in found["LoggingConfiguration"].values())


@pytest.mark.promise("airflow")
def test_only_mwaa_of_this_account_assumes_the_role_which_reads_only_its_own_bucket(
    stack: cdk.Stack, dags: Path
) -> None:
    airflow(stack, dags)
    template = Template.from_stack(stack)
    [role] = template.find_resources(
        "AWS::IAM::Role", {"Properties": {"Description": "Airflow: DAGs and tasks"}}
    ).values()
    trust = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert sorted(name for one in trust for name in many(one["Principal"]["Service"])) == [
        "airflow-env.amazonaws.com",
        "airflow.amazonaws.com",
    ]
    assert all("aws:SourceAccount" in one["Condition"]["StringEquals"] for one in trust)
    [policy] = [
        found["Properties"]["PolicyDocument"]["Statement"]
        for id, found in template.find_resources("AWS::IAM::Policy").items()
        if id.startswith("AirflowRole")
    ]
    reading = [flat(each) for one in policy if "s3:GetObject" in many(one["Action"]) for each in many(one["Resource"])]
    assert len(reading) == 1
    assert "AirflowDataBucket" in reading[0]
    assert not [one for one in policy if any(action.startswith("s3:Put") for action in many(one["Action"]))]


def test_traffic_leaves_by_https_and_otherwise_stays_in_the_environment(stack: cdk.Stack, dags: Path) -> None:
    airflow(stack, dags)
    [group] = (
        Template.from_stack(stack)
        .find_resources(
            "AWS::EC2::SecurityGroup",
            {"Properties": {"GroupDescription": Match.string_like_regexp("Airflow: Airflow$")}},
        )
        .values()
    )
    assert [rule["ToPort"] for rule in group["Properties"]["SecurityGroupEgress"]] == [443]
    assert "SecurityGroupIngress" not in group["Properties"]


def test_python_files_and_packages_are_deployed_and_airflow_looks_for_no_dags_in_packages(
    stack: cdk.Stack, dags: Path
) -> None:
    airflow(stack, dags, packages=[str(dags.parent / "tools")])
    [deployed] = Template.from_stack(stack).find_resources("Custom::AirflowDags").values()
    assert sorted(deployed["Properties"]["Files"]) == ["nightly.py", "team/weekly.py", "tools/__init__.py"]
    assert deployed["Properties"]["Ignored"] == "tools/\n"


@pytest.mark.promise("airflow")
def test_the_deployed_files_are_deleted_before_the_bucket_is_emptied(stack: cdk.Stack, dags: Path) -> None:
    """Deleting a file creates a delete marker, which has to be removed with the other versions."""
    airflow(stack, dags, removal_policy=cdk.RemovalPolicy.DESTROY)
    template = Template.from_stack(stack)
    [deployed] = template.find_resources("Custom::AirflowDags").values()
    bucket = deployed["Properties"]["Bucket"]
    [emptied] = template.find_resources("Custom::S3AutoDeleteObjects", {"Properties": {"BucketName": bucket}})
    assert emptied in deployed["DependsOn"]


def test_a_changed_dag_is_deployed_again(dags: Path) -> None:
    digests = []
    for number in range(2):
        (dags / "nightly.py").write_text(f"nightly = {number}\n")
        stack = cdk.Stack()
        airflow(stack, dags)
        [deployed] = Template.from_stack(stack).find_resources("Custom::AirflowDags").values()
        digests.append(deployed["Properties"]["Files"]["nightly.py"])
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ({}, (1, 2)),
        ({"min_workers": 5}, (5, 5)),
        ({"environment_class": "mw1.micro"}, (1, 1)),
        ({"min_workers": 2, "max_workers": 25}, (2, 25)),
    ],
)
def test_workers_scale_between_the_given_limits(
    stack: cdk.Stack, dags: Path, options: dict[str, Any], workers: tuple[int, int]
) -> None:
    airflow(stack, dags, **options)
    found = environment(stack)
    assert (found["MinWorkers"], found["MaxWorkers"]) == workers


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"environment_class": "mw1.micro", "max_workers": 2}, "mw1.micro has one worker, got min_workers 1 and max_w"),
        ({"max_workers": 26}, "must be 1 to 25, the smaller first, got 1 and 26"),
        ({"min_workers": 3, "max_workers": 2}, "must be 1 to 25, the smaller first, got 3 and 2"),
        ({"version": "3.1.0"}, "version must be '2.10.3' or '2.11.0' or '3.0.6', got '3.1.0'"),
        ({"options": {"timezone": "utc"}}, "options has 'timezone'; write section and name"),
        ({"packages": ["/nowhere"]}, "/nowhere is not a folder; name a folder with Python files"),
    ],
)
def test_refuses_an_environment_that_mwaa_would_refuse(
    stack: cdk.Stack, dags: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        airflow(stack, dags, **options)


def test_refuses_a_folder_without_python_and_two_files_of_one_name(stack: cdk.Stack, dags: Path) -> None:
    (dags.parent / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="empty has no Python file"):
        airflow(stack, dags, packages=[str(dags.parent / "empty")])
    other = dags.parent / "other" / "team"
    other.mkdir(parents=True)
    (other / "weekly.py").write_text("")
    with pytest.raises(ConfigurationError, match="team/weekly.py is in .*dags and in packages; rename one"):
        airflow(cdk.Stack(), dags, packages=[str(other)])


def test_complies(app: cdk.App, stack: cdk.Stack, dags: Path) -> None:
    airflow(stack, dags)
    assert_complies(app)


def event(kind: str, files: dict[str, str], before: dict[str, str] | None = None) -> dict[str, Any]:
    properties = {"Bucket": "airflow", "Prefix": "dags/", "Files": files, "Ignored": "tools/\n"}
    old = {"OldResourceProperties": {**properties, "Files": before}} if before is not None else {}
    return {"RequestType": kind, "ResourceProperties": properties, **old}


def run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, request: dict[str, Any], *calls: tuple[str, dict[str, Any]]
) -> Any:
    """Answer of the handler, which has to make exactly these calls."""
    client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="s")
    answers: list[Any] = []
    monkeypatch.setattr(index, "FOLDER", folder)
    monkeypatch.setattr(index, "answer", lambda *given: answers.append(given[1:]))
    monkeypatch.setattr(index.boto3, "client", lambda _name: client)
    with Stubber(client) as stub:
        for name, given in calls:
            stub.add_response(name, {}, {"Bucket": "airflow", **given})
        index.handler(request, None)
        stub.assert_no_pending_responses()
    [found] = answers
    return found


def put(name: str, content: bytes) -> tuple[str, dict[str, Any]]:
    return "put_object", {"Key": f"dags/{name}", "Body": content}


def deleted(name: str) -> tuple[str, dict[str, Any]]:
    return "delete_object", {"Key": f"dags/{name}"}


def test_files_are_copied_with_the_list_of_ignored_folders(monkeypatch: pytest.MonkeyPatch, dags: Path) -> None:
    calls = (put(".airflowignore", b"tools/\n"), put("nightly.py", b"nightly = 1\n"))
    assert run(monkeypatch, dags, event("Create", {"nightly.py": "1"}), *calls)[0] == "SUCCESS"


def test_a_removed_file_is_deleted_after_the_others_are_copied(monkeypatch: pytest.MonkeyPatch, dags: Path) -> None:
    calls = (put(".airflowignore", b"tools/\n"), put("nightly.py", b"nightly = 1\n"), deleted("old.py"))
    request = event("Update", {"nightly.py": "2"}, {"nightly.py": "1", "old.py": "1"})
    assert run(monkeypatch, dags, request, *calls)[0] == "SUCCESS"


def test_a_deleted_deployment_deletes_what_it_copied(monkeypatch: pytest.MonkeyPatch, dags: Path) -> None:
    request = event("Delete", {"nightly.py": "1"})
    assert run(monkeypatch, dags, request, deleted("nightly.py"), deleted(".airflowignore"))[0] == "SUCCESS"


def test_a_failure_is_reported_with_its_reason(monkeypatch: pytest.MonkeyPatch, dags: Path) -> None:
    status, _, reason = run(monkeypatch, dags, event("Create", {"absent.py": "1"}), put(".airflowignore", b"tools/\n"))
    assert status == "FAILED"
    assert "absent.py" in reason
