from pathlib import Path
from typing import Any

import pytest

from mlplatform_components import ComponentError, JobFailed, TimedOut
from mlplatform_components.features import newest_features, query_features
from tests.pipeline_components.conftest import no_time

QUERY = "SELECT restaurant_id, preparation_seconds_mean_7d FROM restaurant_preparation"
STARTED = (
    "start_query_execution",
    {"QueryString": QUERY, "QueryExecutionContext": {"Database": "features"}, "WorkGroup": "features"},
    {"QueryExecutionId": "q-1"},
)


def ended(state: str, **more: Any) -> tuple[str, Any, Any]:
    answer = {
        "QueryExecutionId": "q-1",
        "Status": {"State": state, **more},
        "ResultConfiguration": {"OutputLocation": "s3://answers/q-1.csv"},
    }
    return "get_query_execution", {"QueryExecutionId": "q-1"}, {"QueryExecution": answer}


class Bucket:
    """One object."""

    def download_file(self, bucket: str, key: str, target: str) -> None:
        assert (bucket, key) == ("answers", "q-1.csv")
        Path(target).write_text('"restaurant_id"\n"trattoria"\n', encoding="utf-8")


@pytest.mark.promise("features-in-pipelines")
def test_an_answer_is_written_as_a_file_with_a_header(recorded: Any, tmp_path: Path) -> None:
    athena, target = recorded("athena", STARTED, ended("RUNNING"), ended("SUCCEEDED")), tmp_path / "new" / "f.csv"
    size = query_features(
        athena, Bucket(), QUERY, target, database="features", work_group="features", patience=no_time()
    )
    assert target.read_text(encoding="utf-8").splitlines() == ['"restaurant_id"', '"trattoria"']
    assert size == target.stat().st_size


def test_a_failed_query_is_reported_with_its_reason(recorded: Any, tmp_path: Path) -> None:
    athena = recorded("athena", STARTED, ended("FAILED", StateChangeReason="COLUMN_NOT_FOUND"))
    with pytest.raises(JobFailed, match="query q-1: COLUMN_NOT_FOUND"):
        query_features(
            athena, Bucket(), QUERY, tmp_path / "f", database="features", work_group="features", patience=no_time()
        )


def test_a_query_that_takes_too_long_is_stopped(recorded: Any, tmp_path: Path) -> None:
    stop = ("stop_query_execution", {"QueryExecutionId": "q-1"}, {})
    athena = recorded("athena", STARTED, *[ended("RUNNING")] * 2, stop)
    with pytest.raises(TimedOut):
        query_features(
            athena, Bucket(), QUERY, tmp_path / "f", database="features", work_group="features", patience=no_time(10)
        )


def test_refuses_a_statement_that_changes_data(recorded: Any, tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="query: must be a SELECT, got 'DROP TABLE x'"):
        query_features(
            recorded("athena"), None, "DROP TABLE x", tmp_path, database="f", work_group="f", patience=no_time()
        )


def partitions(*hours: str) -> tuple[str, Any, Any]:
    found = [
        {"Values": [hour], "StorageDescriptor": {"Location": f"s3://features/offline/g/as_of={hour}/run=1/"}}
        for hour in hours
    ]
    return "get_partitions", {"DatabaseName": "features", "TableName": "g"}, {"Partitions": found}


@pytest.mark.promise("features-in-pipelines")
def test_the_newest_run_is_the_one_that_the_catalog_names(recorded: Any) -> None:
    glue = recorded("glue", partitions("2026-07-13-06", "2026-07-14-00", "2026-07-13-18"))
    found = newest_features(glue, database="features", group="g")
    assert (found.as_of, found.uri) == ("2026-07-14-00", "s3://features/offline/g/as_of=2026-07-14-00/run=1/")


def test_refuses_features_that_were_never_computed(recorded: Any) -> None:
    with pytest.raises(ComponentError, match="features.g: has no features yet; start its job"):
        newest_features(recorded("glue", partitions()), database="features", group="g")


def test_refuses_a_name_that_is_no_table(recorded: Any) -> None:
    with pytest.raises(ComponentError, match="group: must be lower-case letters"):
        newest_features(recorded("glue"), database="features", group="g; drop")
