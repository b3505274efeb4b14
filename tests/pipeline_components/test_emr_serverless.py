from typing import Any

import pytest

from mlplatform_components import ComponentError, JobFailed, ServerlessSparkJob, TimedOut
from mlplatform_components.emr_serverless import run_serverless
from mlplatform_components.spark_program import name_for_run
from tests.pipeline_components.conftest import no_time

RUN = {"applicationId": "00f1", "jobRunId": "r-1"}
WHOLE = {
    **RUN,
    "arn": "arn:aws:emr-serverless:eu-west-1:111111111111:/applications/00f1/jobruns/r-1",
    "createdBy": "arn:aws:iam::111111111111:role/pipeline",
    "createdAt": 1793000000,
    "updatedAt": 1793000000,
    "executionRole": "arn:aws:iam::111111111111:role/jobs",
    "releaseLabel": "emr-7.10.0",
    "jobDriver": {"sparkSubmit": {"entryPoint": "s3://code/prepare.py"}},
}


def job(**changes: Any) -> ServerlessSparkJob:
    values: dict[str, Any] = {
        "name": "prepare-run-1",
        "application": "00f1",
        "execution_role_arn": "arn:aws:iam::111111111111:role/jobs",
        "program": "s3://code/prepare.py",
        "arguments": ("s3://data/raw/",),
        "log_uri": "s3://logs/emr-serverless/",
    }
    return ServerlessSparkJob(**{**values, **changes})


def started(minutes: int) -> tuple[str, Any, Any]:
    return "start_job_run", job().to_request(minutes), {**RUN, "arn": WHOLE["arn"]}


def described(state: str, details: str = "none") -> tuple[str, Any, Any]:
    return "get_job_run", RUN, {"jobRun": {**WHOLE, "state": state, "stateDetails": details}}


@pytest.mark.promise("emr-steps")
def test_a_program_runs_until_it_succeeds(recorded: Any) -> None:
    client = recorded("emr-serverless", started(5), described("RUNNING"), described("SUCCESS"))
    assert run_serverless(client, job(), no_time()) == "r-1"


def test_a_failed_program_is_reported_with_its_reason(recorded: Any) -> None:
    client = recorded("emr-serverless", started(5), described("FAILED", "Exit code 1"))
    with pytest.raises(JobFailed, match="run r-1: FAILED: Exit code 1; its logs are below s3://logs/"):
        run_serverless(client, job(), no_time())


def test_a_program_that_takes_too_long_is_cancelled(recorded: Any) -> None:
    client = recorded("emr-serverless", started(5), *[described("RUNNING")] * 2, ("cancel_job_run", RUN, RUN))
    with pytest.raises(TimedOut):
        run_serverless(client, job(), no_time(10))


def test_emr_ends_a_program_by_itself_when_its_step_no_longer_waits() -> None:
    assert job().to_request(90)["executionTimeoutMinutes"] == 90


def test_a_long_name_keeps_the_id_of_the_run() -> None:
    run = "0b6f7c3e-8a53-4b66-9b50-4a1c3f4f3f11"
    assert name_for_run("a" * 90, run) == "a" * 27 + "-" + run
    assert len(name_for_run("a" * 90, run)) == 64


def test_refuses_a_program_outside_of_s3() -> None:
    with pytest.raises(ComponentError, match=r"program must be a .py or .jar in S3"):
        job(program="local.py")
