"""Spark without a cluster through EMR Serverless."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlplatform_components.spark_program import check_program, check_run_name, submission, wait_for_run
from mlplatform_components.waiting import Patience

_ENDED = ("SUCCESS", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class ServerlessSparkJob:
    """A Spark program for an application of EMR Serverless.

    :param name: of one run; a repeated call with the same name starts nothing new.
    :param application: id of the application.
    :param execution_role_arn: role of the program.
    :param program: a ``.py`` or ``.jar`` file in S3.
    :param main_class: of a ``.jar``.
    :param arguments: of the program. Default: none.
    :param settings: properties of Spark. Default: none.
    :param log_uri: where logs go, such as ``s3://bucket/emr-serverless/``.
    :raises ComponentError: for a program that is not in S3, or a class without a jar.
    """

    name: str
    application: str
    execution_role_arn: str
    program: str
    log_uri: str
    main_class: str | None = None
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_program(f"job {self.name!r}", self.program, self.main_class)
        check_run_name(f"job {self.name!r}", self.name)

    def to_request(self, minutes: int) -> dict[str, Any]:
        """The arguments of ``StartJobRun``.

        :param minutes: after which EMR ends the program, even if no caller waits for it.
        """
        return {
            "name": self.name,
            "applicationId": self.application,
            "clientToken": self.name,
            "executionRoleArn": self.execution_role_arn,
            "executionTimeoutMinutes": minutes,
            "jobDriver": {"sparkSubmit": submission(self.program, self.arguments, self.main_class, self.settings)},
            "configurationOverrides": {
                "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": self.log_uri}}
            },
        }


def run_serverless(emr_serverless: Any, job: ServerlessSparkJob, patience: Patience) -> str:
    """Run a program and wait until it ends. It is cancelled if anything else ends the wait.

    :param emr_serverless: a boto3 client of ``emr-serverless``.
    :return: the id of the run.
    :raises JobFailed: if the program fails.
    :raises TimedOut: if it takes too long.
    """
    minutes = max(5, math.ceil(patience.seconds / 60))
    run = str(emr_serverless.start_job_run(**job.to_request(minutes))["jobRunId"])
    ids = {"applicationId": job.application, "jobRunId": run}
    wait_for_run(
        job,
        run,
        patience,
        read=lambda: emr_serverless.get_job_run(**ids)["jobRun"],
        cancel=lambda: emr_serverless.cancel_job_run(**ids),
        ended=_ENDED,
        success="SUCCESS",
    )
    return run
