import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_repository import Package, RepositoryError


def refusal(folder: Path) -> list[str]:
    with pytest.raises(RepositoryError) as refused:
        Package.read(folder)
    return [line.removeprefix(f"{folder}/") for line in str(refused.value).splitlines()]


def test_equal_files_have_equal_digests_wherever_they_are(make_package: Callable[..., Path]) -> None:
    first, second = (Package.read(make_package(name)) for name in ("first", "second"))
    other = Package.read(make_package("other", weight=3.0))
    assert first.digest == second.digest != other.digest


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="nowhere: no such folder; give one with metadata.json and model, "):
        Package.read(tmp_path / "nowhere")


@pytest.mark.promise("model-packages")
def test_every_mistake_is_reported_together(make_package: Callable[..., Path]) -> None:
    folder = make_package(metrics={"auc": "high"}, tolerance=-1, colour="blue")
    (folder / "model" / "weights.json").unlink()
    (folder / "model" / "predictor.py").unlink()
    (folder / "notes.txt").write_text("hello")
    (folder / "sample" / "my data.csv").write_text("1")
    (folder / "sample" / "link").symlink_to("/etc/passwd")
    assert refusal(folder) == [
        "metadata.json: whole document: colour: unknown; remove it, known are author, contains_pickle, description, "
        "entry_points, framework, image, metrics, parameters, tags, tolerance, training",
        "metadata.json: metrics.auc: must be of type number or null, got 'high'",
        "metadata.json: tolerance: -1 is less than the minimum of 0",
        "notes.txt: not part of a package; move it into model, feature_extractor, sample or remove it",
        "sample/link: is a symbolic link; put the file itself there",
        "sample/my data.csv: names may have letters, digits and _ . - only; rename it",
        "model/: required and empty; add its files",
        "metadata.json: entry_points.model: 'model/predictor.py:load' names no file of the package; "
        "correct it or add the file",
    ]


def test_no_version_exists_without_metadata(make_package: Callable[..., Path]) -> None:
    folder = make_package()
    (folder / "metadata.json").unlink()
    assert refusal(folder) == ["metadata.json: required; a version cannot exist without its metadata, add it"]


@pytest.mark.promise("model-packages")
@pytest.mark.parametrize("part", ["model", "feature_extractor", "sample"])
def test_no_version_exists_without_one_of_its_parts(make_package: Callable[..., Path], part: str) -> None:
    folder = make_package()
    for file in (folder / part).iterdir():
        file.unlink()
    assert f"{part}/: required and empty; add its files" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{", "not valid JSON: Expecting property name"),
        ('{"metrics": {"auc": NaN}}', "not valid JSON: NaN is no JSON number; leave the value out or write null"),
        ('{"metrics": {"auc": 1e999}}', "not valid JSON: Out of range float values are not JSON compliant"),
        ("[]", "whole document: must be of type object, got []"),
    ],
)
def test_metadata_is_json(make_package: Callable[..., Path], text: str, mistake: str) -> None:
    folder = make_package()
    (folder / "metadata.json").write_text(text)
    assert refusal(folder)[0].startswith(f"metadata.json: {mistake}")


@pytest.mark.parametrize("name", ["description", "training", "parameters", "metrics", "entry_points"])
def test_metadata_that_trace_a_model_are_required(make_package: Callable[..., Path], name: str) -> None:
    folder = make_package()
    metadata = json.loads((folder / "metadata.json").read_text())
    del metadata[name]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert refusal(folder)[0] == f"metadata.json: {name}: required; add it"


@pytest.mark.promise("immutable-images")
def test_an_image_is_named_by_digest(make_package: Callable[..., Path]) -> None:
    """A tag can be moved; a digest identifies the content."""
    digest = "sha256:" + "0" * 64
    assert Package.read(make_package("digest", image=f"registry.example/churn@{digest}")).metadata["image"]
    assert refusal(make_package("tag", image="registry.example/churn:7"))[0].startswith(
        "metadata.json: image: must match"
    )


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "sample/records.jsonl: has no record; add some, with the predictions to expect"),
        ("[1]\n", "sample/records.jsonl:1: must be an object with 'record' and 'prediction', nothing else"),
        ('{"record": 1, "prediction": 2}\n{"record": 1}\n', "sample/records.jsonl:2: must be an object with"),
        ("{\n", "sample/records.jsonl:1: not valid JSON: "),
    ],
)
def test_the_sample_has_records_with_predictions(make_package: Callable[..., Path], text: str, mistake: str) -> None:
    folder = make_package()
    (folder / "sample" / "records.jsonl").write_text(text)
    (line,) = refusal(folder)
    assert line.startswith(mistake)


def _as_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1, 2]}))


def _as_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps([1]))


@pytest.mark.parametrize("write", [_as_pickle, _as_archive])
def test_a_pickle_is_refused_unless_the_metadata_declare_it(
    make_package: Callable[..., Path], write: Callable[[Path], None]
) -> None:
    folder = make_package()
    write(folder / "model" / "weights.bin")
    (line,) = refusal(folder)
    assert line.startswith("model/weights.bin: is a Python pickle, which runs code of its author when it is loaded; ")
    declared = make_package("declared", contains_pickle=True)
    write(declared / "model" / "weights.bin")
    assert len(Package.read(declared).files) == 5


def test_reading_a_package_runs_nothing_of_it(make_package: Callable[..., Path], tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    folder = make_package(contains_pickle=True)

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (witness,))

    (folder / "model" / "weights.pkl").write_bytes(pickle.dumps(Payload()))
    (folder / "model" / "predictor.py").write_text(f"import pathlib; pathlib.Path({str(witness)!r}).touch()")
    Package.read(folder)
    assert not witness.exists()


def test_what_python_leaves_behind_is_not_part_of_a_package(make_package: Callable[..., Path]) -> None:
    folder = make_package()
    before = Package.read(folder)
    (folder / "model" / "__pycache__").mkdir()
    (folder / "model" / "__pycache__" / "predictor.cpython-311.pyc").write_bytes(b"x")
    assert Package.read(folder) == before
