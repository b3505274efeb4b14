import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_repository import Conflict, Damaged, NoSuchVersion, Package, Repository, RepositoryError, compare

BUCKET = "models"
MIB = 1024**2


@pytest.fixture
def repository(s3: Any) -> Repository:
    return Repository(BUCKET, client=s3)


@pytest.fixture
def publish(repository: Repository, model: str, make_package: Callable[..., Path]) -> Callable[..., Any]:
    """Publish a new package of ``model`` without running it."""

    def publish(name: str = "package", **options: Any) -> Any:
        package = Package.read(make_package(name, **options))
        return repository.publish(package, model=model, self_test=False)

    return publish


@pytest.mark.promise("model-repository", "model-metadata", "model-packages")
def test_model_feature_extractor_sample_and_metadata_are_stored_as_one_version(
    repository: Repository, s3: Any, model: str, metadata: dict[str, Any], publish: Callable[..., Any]
) -> None:
    done = publish()
    assert done.created
    assert done.document["version"] == 1
    assert done.document["metadata"] == metadata
    assert [file["path"] for file in done.document["package"]["files"]] == [
        "feature_extractor/extractor.py",
        "model/predictor.py",
        "model/weights.json",
        "sample/records.jsonl",
    ]
    stored = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{model}/versions/1.json")["Body"].read())
    assert stored == done.document == repository.get(model, 1)


@pytest.mark.promise("atomic-model-versions")
def test_every_retrain_is_a_new_version_with_a_metadata_document_of_the_same_number(
    repository: Repository, model: str, publish: Callable[..., Any]
) -> None:
    for number in (1, 2, 3):
        assert publish(f"package-{number}", run=f"run-{number}").document["version"] == number
    listed = repository.versions(model)
    assert [(entry.number, entry.state) for entry in listed] == [(n, "published") for n in (1, 2, 3)]
    assert [entry.document["version"] for entry in listed if entry.document] == [1, 2, 3]
    assert repository.get(model)["metadata"]["training"]["run"] == "run-3"
    assert model in repository.models()


def test_any_version_is_read_back_as_the_package_that_was_published(
    repository: Repository, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    for number in (1, 2):
        publish(f"package-{number}", run=f"run-{number}", weight=float(number))
    for number in (1, 2):
        repository.fetch(model, number, to=tmp_path / f"fetched-{number}")
        fetched, original = (Package.read(tmp_path / f"{name}-{number}") for name in ("fetched", "package"))
        assert (fetched.metadata, fetched.files) == (original.metadata, original.files)


def test_fetch_leaves_nothing_when_a_checksum_differs(
    repository: Repository, s3: Any, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    document = publish().document
    key = repository.uri(document, "model/weights.json").removeprefix(f"s3://{BUCKET}/")
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"[9.0, 0.5]")
    with pytest.raises(Damaged, match=r"weights.json: 10 bytes with SHA-256 .*; restore an earlier version"):
        repository.fetch(model, 1, to=tmp_path / "out" / "fetched")
    assert not list((tmp_path / "out").iterdir())


def test_fetch_refuses_a_folder_that_exists(
    repository: Repository, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    publish()
    with pytest.raises(RepositoryError, match="package: exists; name a folder that does not"):
        repository.fetch(model, to=tmp_path / "package")


def test_a_file_that_was_deleted_is_named(
    repository: Repository, s3: Any, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    uri = repository.uri(publish().document, "model/weights.json")
    s3.delete_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))
    with pytest.raises(Damaged, match="weights.json: is missing; restore an earlier version"):
        repository.fetch(model, to=tmp_path / "fetched")


def test_publishing_refuses_to_overwrite(
    repository: Repository, s3: Any, model: str, make_package: Callable[..., Path], publish: Callable[..., Any]
) -> None:
    first = publish().document
    other = Package.read(make_package("other", run="run-2", weight=7.0))
    refusal = f"{model} 1: published by another at {first['created_at']}; nothing was published"
    with pytest.raises(Conflict, match=refusal):
        repository.publish(other, model=model, number=1, self_test=False)
    assert repository.get(model, 1) == first
    assert [entry.number for entry in repository.versions(model)] == [1]


def test_publishing_the_newest_package_again_is_the_same_version(
    repository: Repository, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    first = publish()
    package = Package.read(tmp_path / "package")
    for number in (None, 1):
        again = repository.publish(package, model=model, number=number, self_test=False)
        assert not again.created
        assert again.document == first.document


def test_a_withdrawn_version_is_gone_and_its_number_is_never_used_again(
    repository: Repository, model: str, tmp_path: Path, publish: Callable[..., Any]
) -> None:
    publish("package-1", run="run-1")
    publish("package-2", run="run-2")
    repository.withdraw(model, 2, reason="trained on the wrong week")
    assert [(entry.number, entry.state) for entry in repository.versions(model)] == [(1, "published"), (2, "withdrawn")]
    assert repository.get(model)["version"] == 1
    with pytest.raises(NoSuchVersion, match=f"{model} 2: withdrawn at .*: trained on the wrong week; use another"):
        repository.get(model, 2)
    with pytest.raises(Conflict, match=f"{model} 2: withdrawn at .*, and numbers are not used again"):
        repository.publish(Package.read(tmp_path / "package-2"), model=model, number=2, self_test=False)
    assert publish("package-3", run="run-3").document["version"] == 3


def test_withdrawing_twice_changes_nothing(repository: Repository, model: str, publish: Callable[..., Any]) -> None:
    publish()
    first = repository.withdraw(model, 1, reason="wrong week")
    assert repository.withdraw(model, 1, reason="another reason") == first


def test_withdrawing_needs_a_reason_and_a_version(repository: Repository, model: str) -> None:
    with pytest.raises(RepositoryError, match="reason: must not be empty"):
        repository.withdraw(model, 1, reason=" ")
    with pytest.raises(NoSuchVersion, match=f"{model} 1: no such version; there are none"):
        repository.withdraw(model, 1, reason="wrong week")


def test_versions_that_do_not_exist_are_refused_with_those_that_are(
    repository: Repository, model: str, publish: Callable[..., Any]
) -> None:
    with pytest.raises(NoSuchVersion, match=f"{model}: no version that may be used; publish one"):
        repository.get(model)
    for number in (1, 2, 3):
        publish(f"package-{number}", run=f"run-{number}")
    with pytest.raises(NoSuchVersion, match=f"{model} 9: no such version; there are 1-3"):
        repository.get(model, 9)


@pytest.mark.parametrize("name", ["", "Churn", "churn_1", "-churn", "a/b", "churn\n", "x" * 64])
def test_a_model_has_a_plain_name(repository: Repository, name: str) -> None:
    with pytest.raises(RepositoryError, match="model: must be 1 to 63 lower-case letters"):
        repository.get(name)


@pytest.mark.parametrize("number", [0, -1, 10**9])
def test_a_version_number_is_a_natural_number(
    repository: Repository, model: str, make_package: Callable[..., Path], number: int
) -> None:
    with pytest.raises(RepositoryError, match=f"number: must be 1 to 999999999, got {number}"):
        repository.publish(Package.read(make_package()), model=model, number=number, self_test=False)


def test_the_next_number_is_above_the_highest_ever_used(
    repository: Repository, model: str, make_package: Callable[..., Path], publish: Callable[..., Any]
) -> None:
    repository.publish(Package.read(make_package("fifth", run="run-5")), model=model, number=5, self_test=False)
    assert publish("sixth", run="run-6").document["version"] == 6


@pytest.mark.promise("models-of-any-size")
def test_a_large_file_goes_in_parts_and_is_restored_completely(
    s3: Any, model: str, tmp_path: Path, make_package: Callable[..., Path]
) -> None:
    folder = make_package()
    (folder / "model" / "weights.bin").write_bytes(bytes(range(256)) * 4096 * 11 + b"end")
    repository = Repository(BUCKET, client=s3, part_bytes=5 * MIB)
    document = repository.publish(Package.read(folder, part_bytes=5 * MIB), model=model, self_test=False).document
    file = next(file for file in document["package"]["files"] if file["path"] == "model/weights.bin")
    assert file["checksum"].endswith("-3")
    repository.fetch(model, to=tmp_path / "fetched")
    assert (tmp_path / "fetched/model/weights.bin").read_bytes() == (folder / "model/weights.bin").read_bytes()


@pytest.mark.parametrize("size", [100, 11 * MIB])
def test_a_file_that_changes_while_it_is_published_is_refused(
    s3: Any, model: str, make_package: Callable[..., Path], size: int
) -> None:
    folder = make_package()
    (folder / "model" / "weights.bin").write_bytes(b"a" * size)
    package = Package.read(folder, part_bytes=5 * MIB)
    (folder / "model" / "weights.bin").write_bytes(b"b" * size)
    repository = Repository(BUCKET, client=s3, part_bytes=5 * MIB)
    with pytest.raises(RepositoryError, match="changed while it was published"):
        repository.publish(package, model=model, self_test=False)
    assert repository.versions(model) == []


def test_an_object_that_the_repository_did_not_write_is_not_accepted(
    repository: Repository, s3: Any, model: str, make_package: Callable[..., Path]
) -> None:
    package = Package.read(make_package())
    key = f"{model}/packages/1/{package.digest}/model/weights.json"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"rubbish", ChecksumAlgorithm="SHA256")
    with pytest.raises(Damaged, match="weights.json: is not model/weights.json; it was not written by"):
        repository.publish(package, model=model, self_test=False)


def test_a_document_that_is_unreadable_is_listed_as_such_and_can_be_withdrawn(
    repository: Repository, s3: Any, model: str, publish: Callable[..., Any]
) -> None:
    publish("package-1", run="run-1")
    s3.put_object(Bucket=BUCKET, Key=f"{model}/versions/1.json", Body=b"{")
    with pytest.raises(Damaged, match="1.json: not valid JSON: .*; restore an earlier version"):
        repository.get(model, 1)
    (entry,) = repository.versions(model)
    assert (entry.state, entry.document) == ("quarantined", None)
    assert publish("package-2", run="run-2").document["version"] == 2
    repository.withdraw(model, 1, reason="its document was destroyed")
    assert [entry.state for entry in repository.versions(model)] == ["withdrawn", "published"]


def test_a_document_of_another_version_is_refused(
    repository: Repository, s3: Any, model: str, publish: Callable[..., Any]
) -> None:
    publish()
    text = s3.get_object(Bucket=BUCKET, Key=f"{model}/versions/1.json")["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=f"{model}/versions/2.json", Body=text)
    with pytest.raises(Damaged, match=f"2.json: is of {model} 1"):
        repository.get(model, 2)


def test_two_versions_are_compared_by_metrics_parameters_and_files(
    repository: Repository, model: str, publish: Callable[..., Any]
) -> None:
    publish("package-1")
    publish("package-2", run="run-2", weight=3.0, metrics={"auc": 0.84, "recall": 0.5}, parameters={"max_depth": 8})
    differences = compare(repository.get(model, 1), repository.get(model, 2))
    lines = [str(difference) for difference in differences]
    assert lines[:5] == [
        "metrics.auc: 0.81 -> 0.84 (+0.03)",
        "metrics.recall: absent -> 0.5",
        "parameters.learning_rate: 0.1 -> absent",
        "parameters.max_depth: 6 -> 8 (+2)",
        "training.run: run-1 -> run-2",
    ]
    assert [line.partition(":")[0] for line in lines[5:]] == ["files.model/weights.json", "files.sample/records.jsonl"]
    assert compare(repository.get(model, 1), repository.get(model, 1)) == []


def test_publishers_at_the_same_moment_get_one_winner_and_clear_refusals(
    aws: Callable[[str], Any], s3: Any, model: str, make_package: Callable[..., Path]
) -> None:
    packages = [Package.read(make_package(f"p-{n}", run=f"run-{n}", weight=float(n))) for n in range(4)]
    ready = threading.Barrier(len(packages))
    outcomes: list[object] = []

    def publish(package: Package) -> None:
        repository = Repository(BUCKET, client=aws("s3"))
        ready.wait()
        try:
            outcomes.append(repository.publish(package, model=model, number=1, self_test=False).document)
        except Conflict as error:
            outcomes.append(error)

    threads = [threading.Thread(target=publish, args=(package,)) for package in packages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    refusals = [str(outcome) for outcome in outcomes if isinstance(outcome, Conflict)]
    assert winners == [Repository(BUCKET, client=s3).get(model, 1)]
    assert len(refusals) == len(packages) - 1
    assert all("published by another" in refusal for refusal in refusals)
