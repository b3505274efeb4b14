import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_repository import from_xml
from model_repository.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    s3: object, emulator: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Run a command. :returns: its status, output and error output."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "111111111111")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str, bucket: str | None = "models") -> tuple[int, str, str]:
        status = main([command, *(["--bucket", bucket] if bucket else []), *arguments])
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


@pytest.mark.promise("model-repository", "atomic-model-versions", "model-metadata", "model-packages")
def test_a_version_from_package_to_withdrawal(run: Run, model: str, make_package: Callable[..., Path]) -> None:
    make_package("first")
    make_package("second", run="run-2", weight=3.0, metrics={"auc": 0.9})

    status, out, _ = run("check", "first", bucket=None)
    assert (status, out[:66]) == (0, "first: 4 files; 3 records of the sample predicted as promised, 0.0")
    for number, name in ((1, "first"), (2, "second")):
        status, out, _ = run("publish", model, name)
        assert status == 0
        assert out.startswith(f"{model} {number}: published: s3://models/{model}/packages/{number}/")
    status, out, _ = run("publish", model, "second")
    assert (status, out.partition(", ")[0]) == (0, f"{model} 2: is this package already")

    assert model in run("list")[1].splitlines()
    first, second = run("list", model)[1].splitlines()
    assert first.startswith(f"{model} 1: published at ")
    assert second.endswith("Z: auc 0.9")
    shown = json.loads(run("show", model)[1])
    assert shown["version"] == 2
    assert run("compare", model, "1", "2")[1].splitlines()[0] == "metrics.auc: 0.81 -> 0.9 (+0.09)"
    assert run("compare", model, "1", "1")[1] == "no difference\n"
    assert from_xml(run("export-xml", model, "2")[1]) == shown

    assert run("fetch", model, "1", "--to", "out", "--self-test")[0] == 0
    assert json.loads(Path("out/version.json").read_text())["version"] == 1
    assert run("check", "out", bucket=None)[0] == 0

    status, out, _ = run("withdraw", model, "2", "--reason", "wrong week")
    assert (status, out.endswith("Z: wrong week\n")) == (0, True)
    assert run("list", model)[1].splitlines()[1].startswith(f"{model} 2: withdrawn at ")


def test_a_model_without_versions_is_listed_so(run: Run, model: str) -> None:
    assert run("list", model)[:2] == (0, "no version\n")


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        (["show", "churn", "7"], "churn 7: no such version; there are none"),
        (["show", "Churn"], "model: must be 1 to 63 lower-case letters, digits and hyphens"),
        (["publish", "churn", "nowhere"], "nowhere: no such folder; give one with metadata.json and model"),
        (["fetch", "churn", "--to", "."], ".: exists; name a folder that does not"),
        (["withdraw", "churn", "1", "--reason", ""], "reason: must not be empty; give the reason"),
    ],
)
def test_what_is_refused_is_reported_in_one_line_without_a_traceback(
    run: Run, arguments: list[str], mistake: str
) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(mistake)
    assert err.count("\n") == 1


def test_a_bucket_that_does_not_exist_is_reported(run: Run) -> None:
    status, _, err = run("list", "churn", bucket="no-such-bucket")
    assert status == 1
    assert err.startswith("s3://no-such-bucket/churn/versions/: NoSuchBucket: ")
    assert err.endswith("; correct the name of the bucket\n")


def test_missing_credentials_are_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    status, _, err = run("list", "churn")
    assert status == 1
    assert err == "s3://models/churn/versions/: Unable to locate credentials; sign in, or run where a role is given\n"


def test_an_endpoint_that_does_not_answer_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    status, _, err = run("list", "churn")
    assert status == 1
    assert "Could not connect to the endpoint URL" in err
    assert err.endswith("; check region, endpoint and network\n")


def test_a_file_that_cannot_be_read_is_reported(
    run: Run, make_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_package()

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/some/where")

    monkeypatch.setattr("tempfile.TemporaryDirectory", no_space)
    assert run("check", "package", bucket=None) == (
        1,
        "",
        "/some/where: No space left on device; correct that and try again\n",
    )


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "model_repository", "check", str(tmp_path / "nowhere")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env={**os.environ})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path}/nowhere: no such folder")
