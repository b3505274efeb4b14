"""The program itself, with a published model, killed by the kernel."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_serving.cli import main
from model_repository import Package, Repository
from tests.batch_serving.conftest import BUCKET, Place
from tests.batch_serving.real_mysql import MySql

EXTRACTOR = "def extract(record):\n    return [record['calls'], record['months']]\n"
PREDICTOR = """\
import json, os, pathlib, time

def load(folder):
    weights = json.loads((pathlib.Path(folder) / "weights.json").read_text())
    assert not [name for name in os.environ if name.startswith("AWS_")], "the model sees credentials"

    def predict(features):
        time.sleep(0.002)
        return sum(weight * feature for weight, feature in zip(weights, features))

    return predict
"""
METADATA = {
    "description": "Calls and months",
    "author": "growth team",
    "framework": "none",
    "training": {"data": ["s3://features/"], "code": "9f61a68", "run": "weekly-31"},
    "parameters": {},
    "metrics": {"auc": 0.8},
    "entry_points": {"feature_extractor": "feature_extractor/extractor.py:extract", "model": "model/predictor.py:load"},
}
ROWS = 400


@pytest.fixture
def environment(emulator: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": emulator,
    }


@pytest.fixture
def model(place: Place, client: Callable[[str], Any], tmp_path: Path) -> str:
    """Name of a bucket with a version of the model ``churn``."""
    bucket = f"models-{place.name}"
    s3 = client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    sample = {"record": {"calls": 1, "months": 2}, "prediction": 5}
    files = {
        "metadata.json": json.dumps(METADATA),
        "feature_extractor/extractor.py": EXTRACTOR,
        "model/predictor.py": PREDICTOR,
        "model/weights.json": "[1, 2]",
        "sample/records.jsonl": json.dumps(sample) + "\n",
    }
    for name, text in files.items():
        file = tmp_path / "churn" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    Repository(bucket, client=s3).publish(Package.read(tmp_path / "churn"), model="churn")
    return bucket


def arguments(place: Place, models: str, **more: str) -> list[str]:
    given = {
        "models": models,
        "model": "churn",
        "data": f"s3://{BUCKET}/{place.name}/data/",
        "predictions": f"s3://{BUCKET}/{place.name}/predictions",
        "run": "monday",
        "table": place.name,
        "rows-per-part": "20",
        **more,
    }
    return [part for name, value in given.items() for part in (f"--{name}", value)]


@pytest.mark.promise("batch-serving")
def test_a_program_that_the_kernel_kills_ends_with_every_row_once(
    place: Place, model: str, environment: dict[str, str]
) -> None:
    """As a job whose pods are killed, until one of them is left alone."""
    place.give(a=[{"id": str(number), "calls": number, "months": 1} for number in range(ROWS)])
    command = [sys.executable, "-m", "batch_serving", *arguments(place, model)]
    killed = 0
    for seconds in (1.5, 1.9, 2.3, 2.7, None):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            output, _ = process.communicate(timeout=seconds)
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
    assert process.returncode == 0
    assert output == f"monday: {ROWS} predictions of churn 1 in {ROWS // 20} parts\n"
    assert killed
    expected = [(str(number), number + 2) for number in range(ROWS)]
    assert [(found["id"], found["prediction"]) for found in place.written()] == expected
    assert {id: json.loads(item["prediction"]) for id, item in place.items().items()} == dict(expected)


@pytest.mark.promise("batch-serving")
def test_the_program_reads_the_secret_of_a_database_and_fills_its_table(
    place: Place,
    model: str,
    environment: dict[str, str],
    client: Callable[[str], Any],
    mysql: MySql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client("secretsmanager").create_secret(Name=place.name, SecretString=mysql.secret())
    mysql.new_table("predictions")
    place.give(a=[{"id": str(number), "calls": number, "months": 1} for number in range(30)])
    more = {"database": place.name, "database-authority": str(mysql.login.authority)}
    assert main(arguments(place, model, **more)) == 0
    found = {id: json.loads(row["prediction"]) for id, row in mysql.rows("predictions").items()}
    assert found == {str(number): number + 2 for number in range(30)}


def test_a_refusal_is_one_line_with_status_1(
    place: Place,
    model: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    place.give(a=[{"id": "x", "calls": 1}])
    assert main(arguments(place, model)) == 1
    said = capsys.readouterr().err
    assert "a.jsonl:1: record 'x': KeyError: 'months'; correct the record or the model" in said
    assert said.count("\n") == 1
    assert main(arguments(place, model, run="other", version="9")) == 1
    assert "churn 9: no such version" in capsys.readouterr().err
