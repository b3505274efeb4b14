"""The DAG in a real Airflow: parsed, and its tasks called against a server that answers as Pipelines and Cognito do."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples import airflow
from tests.examples.package_sets import package_set
from tests.pipeline_components.test_runs import FakePipelines

FOLDER = Path(airflow.__file__).parent
PARSE = """
import json, sys
from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1], include_examples=False)
assert not bag.import_errors, bag.import_errors
[dag] = bag.dags.values()
start, wait = dag.get_task("start"), dag.get_task("wait")
"""
TASKS = """
run = start.python_callable(run_id="scheduled-2026-07-14")
assert run == start.python_callable(run_id="scheduled-2026-07-14"), "a retried task started a second run"
wait.python_callable(run)
found = {"dag": dag.dag_id, "schedule": dag.schedule, "after": sorted(wait.upstream_task_ids), "retries": start.retries}
print("RESULT", json.dumps(found))
"""
WHOLE = """
wait.python_callable.__globals__["SECONDS_BETWEEN_LOOKS"] = 0.01
for task in dag.tasks:
    task.retries = 0
run = dag.test()
print("RESULT", json.dumps({"state": run.state, "tasks": {one.task_id: one.state for one in run.get_task_instances()}}))
"""


@pytest.fixture
def pipelines() -> Iterator[FakePipelines]:
    server = FakePipelines()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run_in_airflow(program: str, server: FakePipelines, home: Path) -> dict[str, Any]:
    """Parse the DAG and run a program with it, in an Airflow of its own with SQLite."""
    extra = {"token_address": f"{server.address}/oauth2/token", "scope": "platform/pipelines"}
    connection = {"conn_type": "http", "host": server.address, "login": "m", "password": "s", "extra": extra}
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": package_set("airflow"),
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW_CONN_KUBEFLOW": json.dumps(connection),
        "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
    }
    for command in (["-m", "airflow", "db", "migrate"], ["-c", PARSE + program, str(FOLDER)]):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600, cwd=home
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


@pytest.mark.promise("scheduled-retraining")
def test_the_dag_starts_the_pipeline_every_night_and_waits_for_it(pipelines: FakePipelines, tmp_path: Path) -> None:
    pipelines.states = ["SUCCEEDED"]
    found = run_in_airflow(TASKS, pipelines, tmp_path)
    assert found == {"dag": "trigger_pipeline", "schedule": "0 3 * * *", "after": ["start"], "retries": 2}
    [run] = pipelines.runs.values()
    assert run["namespace"] == "churn"
    assert run["display_name"] == "airflow-scheduled-2026-07-14"
    assert run["reads"] == 1


@pytest.mark.promise("scheduled-retraining")
def test_airflow_runs_the_dag_until_the_pipeline_succeeds(pipelines: FakePipelines, tmp_path: Path) -> None:
    found = run_in_airflow(WHOLE, pipelines, tmp_path)
    assert found == {"state": "success", "tasks": {"start": "success", "wait": "success"}}
    [run] = pipelines.runs.values()
    assert run["display_name"].startswith("airflow-manual__")
    assert run["runtime_config"] == {"parameters": {"trees": 3}}
    assert run["reads"] == len(pipelines.states), "the wait ended before the pipeline"


@pytest.mark.promise("scheduled-retraining")
def test_a_failed_pipeline_fails_the_run_of_the_dag(pipelines: FakePipelines, tmp_path: Path) -> None:
    pipelines.states, pipelines.error = ["RUNNING", "FAILED"], {"message": "step train failed"}
    found = run_in_airflow(WHOLE, pipelines, tmp_path)
    assert found == {"state": "failed", "tasks": {"start": "success", "wait": "failed"}}
    assert len(pipelines.runs) == 1


@pytest.mark.promise("scheduled-retraining")
def test_a_pipeline_that_does_not_exist_fails_the_start_and_nothing_waits(
    pipelines: FakePipelines, tmp_path: Path
) -> None:
    pipelines.versions = []
    found = run_in_airflow(WHOLE, pipelines, tmp_path)
    assert found == {"state": "failed", "tasks": {"start": "failed", "wait": "upstream_failed"}}
    assert pipelines.runs == {}
