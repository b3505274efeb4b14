import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlplatform_components import ComponentError
from mlplatform_components.models import publish_model
from model_repository import Repository, RepositoryError


@pytest.fixture
def bucket(aws: Callable[[str], Any]) -> str:
    name = f"models-{uuid.uuid4()}"
    aws("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


def package(folder: Path, *, prediction: float = 2.0) -> Path:
    files = {
        "model/predictor.py": "def load(folder):\n    return lambda features: 2 * features[0]\n",
        "feature_extractor/extractor.py": "def extract(record):\n    return [record['x']]\n",
        "sample/records.jsonl": json.dumps({"record": {"x": 1.0}, "prediction": prediction}) + "\n",
        "metadata.json": json.dumps(
            {
                "description": "Doubles a number",
                "training": {"data": ["s3://features/x/"], "code": "7c7d0ad", "run": "run-1"},
                "parameters": {},
                "metrics": {"rmse": 0.0},
                "entry_points": {
                    "feature_extractor": "feature_extractor/extractor.py:extract",
                    "model": "model/predictor.py:load",
                },
            }
        ),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.promise("published-by-pipelines")
def test_a_package_becomes_a_version_and_a_repeated_step_publishes_nothing_new(
    aws: Callable[[str], Any], bucket: str, tmp_path: Path
) -> None:
    s3, folder = aws("s3"), package(tmp_path)
    first = publish_model(s3, bucket, folder, model="doubler")
    again = publish_model(s3, bucket, folder, model="doubler")
    assert (first.version, first.created, again.version, again.created) == (1, True, 1, False)
    assert first.uri == again.uri
    document = Repository(bucket, client=s3).get("doubler")
    assert document["self_test"]["outcome"] == "passed"


def test_a_package_that_fails_its_own_sample_is_not_published(
    aws: Callable[[str], Any], bucket: str, tmp_path: Path
) -> None:
    with pytest.raises(RepositoryError):
        publish_model(aws("s3"), bucket, package(tmp_path, prediction=3.0), model="doubler")
    assert Repository(bucket, client=aws("s3")).versions("doubler") == []


def test_refuses_a_name_that_no_model_can_have(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="lower-case letters, digits and hyphens, got 'Doubler'"):
        publish_model(None, "models", tmp_path, model="Doubler")
