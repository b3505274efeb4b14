"""A versioned bucket in an AWS emulator on loopback, and packages to publish."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

import tests.library.conftest as library

BUCKET = "models"

EXTRACTOR = """\
def extract(record):
    return [record["calls"] / record["months"], 1.0]
"""
PREDICTOR = """\
import json, pathlib

def load(folder):
    weights = json.loads((pathlib.Path(folder) / "weights.json").read_text())
    return lambda features: sum(w * f for w, f in zip(weights, features))
"""
MakePackage = Callable[..., Path]


emulator = library.emulator


@pytest.fixture(scope="session")
def aws(emulator: str) -> Callable[[str], Any]:
    """``aws("s3")`` is a new client of the AWS emulator."""
    keys = {"aws_access_key_id": "111111111111", "aws_secret_access_key": "test", "region_name": "eu-west-1"}
    config = Config(retries={"total_max_attempts": 1})  # what fails here fails for a reason
    return lambda service: boto3.Session(**keys).client(service, endpoint_url=emulator, config=config)


@pytest.fixture(scope="session")
def s3(aws: Callable[[str], Any]) -> Any:
    """An S3 client, with the bucket there."""
    client = aws("s3")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


@pytest.fixture(scope="session")
def _names() -> Iterator[str]:
    return (f"model-{number}" for number in itertools.count())


@pytest.fixture
def new_model(_names: Iterator[str]) -> Callable[[], str]:
    """Each call is a model name that nothing was published under."""
    return lambda: next(_names)


@pytest.fixture
def model(new_model: Callable[[], str]) -> str:
    return new_model()


@pytest.fixture
def metadata() -> dict[str, Any]:
    """A complete ``metadata.json``."""
    return {
        "description": "Who is about to leave",
        "training": {"data": ["s3://features/churn/2026-01-01/"], "code": "7c7d0ad", "run": "run-1"},
        "parameters": {"max_depth": 6, "learning_rate": 0.1},
        "metrics": {"auc": 0.81},
        "entry_points": {
            "feature_extractor": "feature_extractor/extractor.py:extract",
            "model": "model/predictor.py:load",
        },
    }


@pytest.fixture
def make_package(tmp_path: Path, metadata: dict[str, Any]) -> MakePackage:
    """Write a package whose self-test passes: ``make_package("name", run="run-2", weight=3.0)``."""

    def make(name: str = "package", *, run: str = "run-1", weight: float = 2.0, **changes: Any) -> Path:
        folder = tmp_path / name
        for part in ("model", "feature_extractor", "sample"):
            (folder / part).mkdir(parents=True)
        (folder / "model" / "weights.json").write_text(json.dumps([weight, 0.5]))
        (folder / "model" / "predictor.py").write_text(PREDICTOR)
        (folder / "feature_extractor" / "extractor.py").write_text(EXTRACTOR)
        samples = [
            {"record": {"calls": calls, "months": 4}, "prediction": weight * calls / 4 + 0.5} for calls in range(3)
        ]
        (folder / "sample" / "records.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
        whole = {**metadata, "training": {**metadata["training"], "run": run}, **changes}
        (folder / "metadata.json").write_text(json.dumps(whole))
        return folder

    return make
