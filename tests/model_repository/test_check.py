"""The check of the bucket, run on the events that it would receive."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlplatform_constructs._data.model_check_handler import index
from model_repository import Conflict, Damaged, NoSuchVersion, Package, Repository

BUCKET = "models"
Event = dict[str, Any]


@pytest.fixture
def repository(s3: Any) -> Repository:
    return Repository(BUCKET, client=s3)


@pytest.fixture
def publish(repository: Repository, model: str, make_package: Callable[..., Path]) -> Callable[..., Any]:
    def publish(run: str = "run-1") -> Any:
        package = Package.read(make_package(run, run=run))
        return repository.publish(package, model=model, self_test=False).document

    return publish


@pytest.fixture
def check(s3: Any) -> index.Check:
    return index.Check(s3, BUCKET, abandoned=timedelta(days=7))


def key_of(repository: Repository, document: Any, path: str) -> str:
    return repository.uri(document, path).removeprefix(f"s3://{BUCKET}/")


def keys(s3: Any, prefix: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


def test_a_complete_version_is_not_changed(
    s3: Any, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish()
    before = keys(s3, f"{model}/")
    assert check.one(f"{model}/versions/1.json") == []
    assert keys(s3, f"{model}/") == before


def test_a_version_that_lost_a_file_is_quarantined_until_the_file_is_restored(
    s3: Any, repository: Repository, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish("run-1")
    key = key_of(repository, publish("run-2"), "model/weights.json")
    marker = s3.delete_object(Bucket=BUCKET, Key=key)["VersionId"]
    problem = "model/weights.json is missing; restore it"
    assert check.one(key) == [f"{model} 2: {problem}"]
    with pytest.raises(Damaged, match=f"{model} 2: quarantined: {problem}; use another version"):
        repository.get(model, 2)
    assert repository.get(model)["version"] == 1
    assert [(entry.state, entry.problem) for entry in repository.versions(model)] == [
        ("published", None),
        ("quarantined", problem),
    ]
    s3.delete_object(Bucket=BUCKET, Key=key, VersionId=marker)
    assert check.one(key) == []
    assert repository.get(model)["version"] == 2


def test_a_file_with_other_content_is_found_without_reading_it(
    s3: Any, repository: Repository, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    key = key_of(repository, publish(), "model/weights.json")
    size = s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x" * size, ChecksumAlgorithm="SHA256")
    problem = "model/weights.json is not what was published; restore an earlier version of it"
    assert check.one(key) == [f"{model} 1: {problem}"]


def test_a_version_whose_document_was_deleted_is_quarantined_and_its_number_not_given_again(
    s3: Any, repository: Repository, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish("run-1")
    key = f"{model}/versions/1.json"
    marker = s3.delete_object(Bucket=BUCKET, Key=key)["VersionId"]
    assert check.one(key) == [f"{model} 1: its document was deleted; restore it, or withdraw the version"]
    assert publish("run-2")["version"] == 2
    s3.delete_object(Bucket=BUCKET, Key=key, VersionId=marker)
    assert check.one(key) == []
    assert repository.get(model, 1)["metadata"]["training"]["run"] == "run-1"


def test_a_version_whose_document_was_deleted_can_be_withdrawn_and_not_published_again(
    s3: Any, repository: Repository, check: index.Check, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    document = publish()
    s3.delete_object(Bucket=BUCKET, Key=f"{model}/versions/1.json")
    check.one(f"{model}/versions/1.json")
    with pytest.raises(Conflict, match=f"{model} 1: taken by a quarantined version; leave the number out"):
        repository.publish(Package.read(tmp_path / "run-1"), model=model, number=document["version"], self_test=False)
    repository.withdraw(model, 1, reason="not needed")
    assert check.one(f"{model}/versions/1.json") == []
    assert keys(s3, f"{model}/") == [f"{model}/versions/1.json"]
    with pytest.raises(NoSuchVersion, match="withdrawn at .*: not needed"):
        repository.get(model, 1)


@pytest.mark.promise("atomic-model-versions")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "its document is not of this version; restore an earlier version of it"),
        ({"metadata": {}}, "its document lacks metadata or files; restore an earlier version of it"),
        ({"package": {"digest": "0" * 64, "files": []}}, "its document lacks metadata or files; "),
        ({"package": None}, "its document lacks metadata or files; "),
    ],
)
def test_a_document_that_is_incomplete_is_quarantined(
    s3: Any, check: index.Check, model: str, publish: Callable[..., Any], change: Event, problem: str
) -> None:
    document = publish() | change
    s3.put_object(Bucket=BUCKET, Key=f"{model}/versions/1.json", Body=json.dumps(document).encode())
    (line,) = check.one(f"{model}/versions/1.json")
    assert line.startswith(f"{model} 1: {problem}")


def test_a_document_that_is_no_json_is_quarantined(
    s3: Any, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish()
    s3.put_object(Bucket=BUCKET, Key=f"{model}/versions/1.json", Body=b"{")
    assert check.one(f"{model}/versions/1.json") == [f"{model} 1: {index._files(None, model, 1)[1]}"]


def test_the_files_of_a_withdrawn_version_are_deleted(
    s3: Any, repository: Repository, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish()
    repository.withdraw(model, 1, reason="wrong week")
    assert check.one(f"{model}/versions/1.json") == []
    assert keys(s3, f"{model}/") == [f"{model}/versions/1.json"]


def test_files_of_a_publisher_that_lost_the_race_are_deleted(
    s3: Any, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish()
    before = keys(s3, f"{model}/")
    left = f"{model}/packages/1/{'0' * 64}/model/weights.json"
    s3.put_object(Bucket=BUCKET, Key=left, Body=b"x")
    check.one(left)
    assert keys(s3, f"{model}/") == before


def test_a_running_publisher_is_not_disturbed_and_an_abandoned_one_is_withdrawn(
    s3: Any, repository: Repository, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    key = f"{model}/packages/1/{'0' * 64}/model/weights.json"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    assert check.one(key) == []
    assert not any(problem.startswith(f"{model} ") for problem in check.all())
    assert keys(s3, f"{model}/") == [key]
    index.Check(s3, BUCKET, abandoned=timedelta(0)).all()
    (entry,) = repository.versions(model)
    assert entry.document is not None
    assert entry.document["reason"] == "abandoned by its publisher before it was complete"
    assert keys(s3, f"{model}/") == [f"{model}/versions/1.json"]
    assert publish()["version"] == 2


def test_a_deleted_document_is_not_taken_for_an_abandoned_publisher_even_when_its_event_was_lost(
    s3: Any, check: index.Check, model: str, publish: Callable[..., Any]
) -> None:
    publish()
    s3.delete_object(Bucket=BUCKET, Key=f"{model}/versions/1.json")
    problem = f"{model} 1: its document was deleted; restore it, or withdraw the version"
    assert problem in index.Check(s3, BUCKET, abandoned=timedelta(0)).all()
    assert len(keys(s3, f"{model}/packages/")) == 4


def test_a_file_in_parts_is_compared_by_the_checksum_of_its_parts(
    s3: Any, check: index.Check, model: str, make_package: Callable[..., Path]
) -> None:
    folder = make_package()
    (folder / "model" / "weights.bin").write_bytes(b"w" * 11 * 1024**2)
    package = Package.read(folder, part_bytes=5 * 1024**2)
    Repository(BUCKET, client=s3, part_bytes=5 * 1024**2).publish(package, model=model, self_test=False)
    assert check.one(f"{model}/versions/1.json") == []


@pytest.mark.parametrize(
    "key",
    [
        "readme.txt",
        "churn/other/1.json",
        "churn/versions/1.quarantine",
        "churn/versions/01.json",
        "a/b/versions/1.json",
    ],
)
def test_other_objects_are_none_of_its_business(check: index.Check, key: str) -> None:
    assert check.one(key) == []


def test_the_handler_reports_problems_to_the_log_and_the_metric(
    s3: Any,
    emulator: str,
    model: str,
    publish: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish()
    s3.delete_object(Bucket=BUCKET, Key=f"{model}/versions/1.json")
    environment = {
        "AWS_ENDPOINT_URL": emulator,
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "test",
        "BUCKET": BUCKET,
        "ABANDONED_DAYS": "7",
        "METRIC_NAMESPACE": "Test",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    problem = f"{model} 1: its document was deleted; restore it, or withdraw the version"
    detail = {"bucket": {"name": BUCKET}, "object": {"key": f"{model}/versions/1.json"}}
    event = {"source": "aws.s3", "detail-type": "Object Deleted", "detail": detail}
    assert index.handler(event, None) == {"problems": [problem]}
    line, metric = capsys.readouterr().out.splitlines()
    assert line == problem
    written = json.loads(metric)
    assert (written["Bucket"], written["QuarantinedVersions"]) == (BUCKET, 1)
    (directive,) = written["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("Test", [["Bucket"]])
    assert problem in index.handler({"source": "aws.events"}, None)["problems"]
