import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from model_repository import Package, Repository, RepositoryError, run_self_test


def rewrite(folder: Path, file: str, text: str) -> Package:
    (folder / file).write_text(text)
    return Package.read(folder)


@pytest.mark.promise("model-packages")
def test_a_package_runs_its_own_sample(make_package: Callable[..., Path]) -> None:
    report = run_self_test(Package.read(make_package()))
    assert report.records == 3
    assert report.milliseconds_per_record >= 0


@pytest.mark.promise("model-packages")
def test_a_wrong_prediction_is_reported_with_its_record(make_package: Callable[..., Path]) -> None:
    package = rewrite(make_package(), "model/weights.json", "[2.0, 0.75]")
    expected = r"records.jsonl:1: predicted 0.75, the sample promises 0.5 \(3 of 3 records differ\); correct the model"
    with pytest.raises(RepositoryError, match=expected):
        run_self_test(package)


def test_predictions_may_differ_by_the_tolerance_of_the_metadata(make_package: Callable[..., Path]) -> None:
    for name, tolerance, passes in (("strict", 1e-6, False), ("loose", 0.01, True)):
        package = rewrite(make_package(name, tolerance=tolerance), "model/weights.json", "[2.0, 0.501]")
        if passes:
            assert run_self_test(package).records == 3
        else:
            with pytest.raises(RepositoryError, match="the sample promises"):
                run_self_test(package)


@pytest.mark.parametrize(
    ("got", "promised", "equal"),
    [
        ("[1.0, 2]", [1, 2.0], True),
        ("[1.0]", [1, 2], False),
        ("{'a': 'b'}", {"a": "b"}, True),
        ("{'a': 1}", {"b": 1}, False),
        ("'yes'", "no", False),
        ("True", 1, False),
        ("None", None, True),
        ("type('Array', (), {'tolist': lambda self: [3]})()", [3], True),
    ],
)
def test_predictions_of_any_shape_are_compared(
    make_package: Callable[..., Path], got: str, promised: object, equal: bool
) -> None:
    folder = make_package()
    (folder / "sample" / "records.jsonl").write_text(json.dumps({"record": 0, "prediction": promised}))
    (folder / "feature_extractor" / "extractor.py").write_text("extract = abs\n")
    package = rewrite(folder, "model/predictor.py", f"load = lambda folder: lambda features: {got}\n")
    if equal:
        assert run_self_test(package).records == 1
    else:
        with pytest.raises(RepositoryError, match="the sample promises"):
            run_self_test(package)


@pytest.mark.parametrize(
    ("file", "text", "mistake"),
    [
        (
            "feature_extractor/extractor.py",
            "def extract(record): return record['age']\n",
            "sample/records.jsonl:1: Key",
        ),
        ("feature_extractor/extractor.py", "x = 1\n", "feature_extractor/extractor.py:extract: AttributeError: "),
        ("model/predictor.py", "import no_such_library\n", "model/predictor.py:load: ModuleNotFoundError: No module"),
        ("model/predictor.py", "def load(folder): raise SystemExit(3)\n", "model/predictor.py:load: SystemExit: 3"),
        ("model/predictor.py", "import os; os._exit(7)\n", "the self-test ended with status 7: no output"),
        ("model/predictor.py", "load = lambda f: lambda x: object()\n", "sample/records.jsonl:1: TypeError: "),
    ],
)
def test_a_package_that_does_not_run_is_reported_with_the_reason(
    make_package: Callable[..., Path], file: str, text: str, mistake: str
) -> None:
    package = rewrite(make_package(), file, text)
    with pytest.raises(RepositoryError) as refused:
        run_self_test(package)
    assert mistake in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_self_test_ends_in_time_with_everything_it_started(make_package: Callable[..., Path], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    package = rewrite(make_package(), "model/predictor.py", code)
    with pytest.raises(RepositoryError, match="package: no answer in 2 s; use a smaller sample or more time"):
        run_self_test(package, seconds=2)
    state = Path(f"/proc/{pid.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_package_sees_no_credentials_and_leaves_nothing_behind(
    make_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("GIT_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    folder = make_package()
    (folder / "sample" / "records.jsonl").write_text(json.dumps({"record": 0, "prediction": [False, "2", True]}))
    (folder / "feature_extractor" / "extractor.py").write_text("extract = abs\n")
    predictor = (
        "import os\n"
        "def load(folder):\n"
        "    open('rubbish', 'w').close()\n"
        "    secret = 'secret' in os.environ.values()\n"
        "    where = os.getcwd() != folder\n"
        "    return lambda features: [secret, os.environ['OMP_NUM_THREADS'], where]\n"
    )
    before = os.getcwd()
    run_self_test(rewrite(folder, "model/predictor.py", predictor))
    assert os.getcwd() == before
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "extractor.py",
        "metadata.json",
        "predictor.py",
        "records.jsonl",
        "weights.json",
    ]


@pytest.mark.promise("model-packages")
def test_publishing_runs_the_sample_first_and_records_that_it_passed(
    s3: object, model: str, make_package: Callable[..., Path]
) -> None:
    repository = Repository("models", client=s3)
    broken = rewrite(make_package("broken"), "model/weights.json", "[1.0, 1.0]")
    with pytest.raises(RepositoryError, match="the sample promises"):
        repository.publish(broken, model=model)
    assert repository.versions(model) == []
    document = repository.publish(Package.read(make_package()), model=model).document
    assert (document["self_test"]["outcome"], document["self_test"]["records"]) == ("passed", 3)


@pytest.mark.promise("model-packages")
def test_a_version_can_be_tested_when_it_is_read_back(
    s3: object, model: str, tmp_path: Path, make_package: Callable[..., Path]
) -> None:
    repository = Repository("models", client=s3)
    repository.publish(Package.read(make_package()), model=model)
    repository.fetch(model, to=tmp_path / "good", self_test=True)
    broken = rewrite(make_package("broken", run="run-2"), "model/weights.json", "[1.0, 1.0]")
    repository.publish(broken, model=model, self_test=False)
    with pytest.raises(RepositoryError, match="the sample promises"):
        repository.fetch(model, to=tmp_path / "bad", self_test=True)
    assert not (tmp_path / "bad").exists()
