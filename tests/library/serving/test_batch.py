"""Jobs that predict in batches."""

import json
from typing import Any

import kubernetes_validate
import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.serving import BatchPredictions, Resources


def batch(**more: Any) -> BatchPredictions:
    given = {
        "name": "churn-nightly",
        "namespace": "growth",
        "image": "r.io/batch:1.0",
        "resources": Resources(cpu="2", memory="4Gi"),
        "models": "models",
        "model": "churn",
        "data": "s3://collected/customers/",
        "predictions": "s3://predictions/churn/",
    }
    return BatchPredictions(**{**given, **more})


@pytest.mark.promise("batch-serving")
@pytest.mark.parametrize(("schedule", "kind"), [("0 3 * * *", "CronJob"), (None, "Job")])
def test_a_job_is_scheduled_or_triggered(schedule: str | None, kind: str) -> None:
    found = batch(schedule=schedule).to_json()
    assert found["kind"] == kind
    kubernetes_validate.validate(found, "1.35", strict=True)


def test_object(snapshot_json: SnapshotAssertion) -> None:
    assert batch(schedule="0 3 * * *", version=7, table="predictions").to_json() == snapshot_json


@pytest.mark.promise("batch-serving")
def test_all_pods_of_a_job_are_the_same_run() -> None:
    """A pod that replaces a failed one continues its run."""
    container = batch().to_json()["spec"]["template"]["spec"]["containers"][0]
    assert (
        container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['batch.kubernetes.io/job-name']"
    )
    assert container["args"][container["args"].index("--run") + 1] == "$(RUN)"


@pytest.mark.promise("batch-serving")
def test_a_job_names_the_secret_of_a_database_and_holds_no_password() -> None:
    found = batch(database="predictions/batch", database_authority="/etc/rds.pem").to_json()
    arguments = found["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--database") + 1] == "predictions/batch"
    assert arguments[arguments.index("--database-authority") + 1] == "/etc/rds.pem"
    assert "password" not in json.dumps(found).lower()


def test_runs_of_a_schedule_do_not_overlap() -> None:
    assert batch(schedule="0 3 * * *").to_json()["spec"]["concurrencyPolicy"] == "Forbid"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "n" * 53}, "name must have at most 52 characters"),
        ({"data": "/data"}, "data must be s3://BUCKET/PATH, got '/data'"),
        ({"predictions": "s3://bucket"}, "predictions must be s3://BUCKET/PATH, got 's3://bucket'"),
        ({"version": 0}, "version must be 1 or more, got 0"),
        ({"schedule": "daily"}, "schedule must be five fields such as '0 3 \\* \\* \\*', got 'daily'"),
        ({"retries": -1}, "retries must be 0 or more, got -1"),
        ({"database_authority": "/etc/rds.pem"}, "database_authority must be an absolute path, next to database"),
        ({"database": "x", "database_authority": "rds.pem"}, "must be an absolute path, next to database, got 'rds"),
        ({"max_seconds": 0}, "max_seconds must be 1 or more, got 0"),
        ({"image": "r.io/batch:latest"}, "must not have the tag 'latest'"),
    ],
)
def test_a_job_that_cannot_run_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        batch(**given)
