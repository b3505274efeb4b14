from typing import Any

import pytest

from mlplatform_components import ComponentError, JobFailed, SparkJobOnEks, TimedOut
from mlplatform_components.emr_on_eks import run_on_eks
from tests.pipeline_components.conftest import no_time

RUN = {"id": "r-1", "virtualClusterId": "v-1"}


def job(**changes: Any) -> SparkJobOnEks:
    values: dict[str, Any] = {
        "name": "prepare-run-1",
        "virtual_cluster": "v-1",
        "execution_role_arn": "arn:aws:iam::111111111111:role/emr-jobs",
        "release": "emr-7.10.0-latest",
        "program": "s3://code/prepare.py",
        "arguments": ("s3://data/raw/",),
        "settings": {"spark.executor.instances": "4"},
        "log_uri": "s3://logs/emr-on-eks/",
    }
    return SparkJobOnEks(**{**values, **changes})


def started(run: SparkJobOnEks) -> tuple[str, Any, Any]:
    return "start_job_run", run.to_request(), {"id": "r-1", "name": run.name, "virtualClusterId": "v-1"}


def described(state: str, **more: str) -> tuple[str, Any, Any]:
    return "describe_job_run", RUN, {"jobRun": {"id": "r-1", "state": state, **more}}


@pytest.mark.promise("emr-steps")
def test_a_program_runs_until_it_is_completed(recorded: Any) -> None:
    client = recorded("emr-containers", started(job()), described("RUNNING"), described("COMPLETED"))
    assert run_on_eks(client, job(), no_time()) == "r-1"


def test_a_failed_program_is_reported_with_its_reason(recorded: Any) -> None:
    client = recorded("emr-containers", started(job()), described("FAILED", stateDetails="Driver exited with 1"))
    with pytest.raises(JobFailed, match="run r-1: FAILED: Driver exited with 1; its logs are below s3://logs/"):
        run_on_eks(client, job(), no_time())


def test_a_program_that_takes_too_long_is_cancelled(recorded: Any) -> None:
    client = recorded("emr-containers", started(job()), *[described("RUNNING")] * 2, ("cancel_job_run", RUN, RUN))
    with pytest.raises(TimedOut):
        run_on_eks(client, job(), no_time(10))


def test_a_program_whose_state_cannot_be_read_is_cancelled(recorded: Any) -> None:
    client = recorded(
        "emr-containers",
        started(job()),
        ("describe_job_run", RUN, "InternalServerException"),
        ("cancel_job_run", RUN, RUN),
    )
    with pytest.raises(client.exceptions.InternalServerException):
        run_on_eks(client, job(), no_time())


def test_a_repeated_step_names_the_same_run_to_emr() -> None:
    assert job().to_request()["clientToken"] == job().to_request()["clientToken"] == "prepare-run-1"


def test_a_jar_has_its_class_among_the_parameters() -> None:
    request = job(program="s3://code/trees.jar", main_class="Trees").to_request()
    submit = request["jobDriver"]["sparkSubmitJobDriver"]
    assert submit["sparkSubmitParameters"] == "--conf spark.executor.instances=4 --class Trees"


def test_refuses_a_name_that_is_no_token() -> None:
    with pytest.raises(ComponentError, match="name must be 1 to 64 characters, got 65"):
        job(name="a" * 65)
