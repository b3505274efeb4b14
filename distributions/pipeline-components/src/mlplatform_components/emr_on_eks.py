"""Spark on the platform's own cluster through EMR on EKS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlplatform_components.spark_program import check_program, check_run_name, submission, wait_for_run
from mlplatform_components.waiting import Patience

_ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CANCEL_PENDING")


@dataclass(frozen=True, kw_only=True)
class SparkJobOnEks:
    """A Spark program for a virtual cluster.

    :param name: of one run; a repeated call with the same name starts nothing new.
    :param virtual_cluster: id of the virtual cluster.
    :param execution_role_arn: role of the pods.
    :param release: such as ``emr-7.10.0-latest``.
    :param program: a ``.py`` or ``.jar`` file in S3.
    :param main_class: of a ``.jar``.
    :param arguments: of the program. Default: none.
    :param settings: properties of Spark. Default: none.
    :param log_uri: where logs go, such as ``s3://bucket/emr-on-eks/``.
    :raises ComponentError: for a program that is not in S3, or a class without a jar.
    """

    name: str
    virtual_cluster: str
    execution_role_arn: str
    release: str
    program: str
    log_uri: str
    main_class: str | None = None
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_program(f"job {self.name!r}", self.program, self.main_class)
        check_run_name(f"job {self.name!r}", self.name)

    def to_request(self) -> dict[str, Any]:
        """The arguments of ``StartJobRun``."""
        return {
            "name": self.name,
            "virtualClusterId": self.virtual_cluster,
            "clientToken": self.name,
            "executionRoleArn": self.execution_role_arn,
            "releaseLabel": self.release,
            "jobDriver": {
                "sparkSubmitJobDriver": submission(self.program, self.arguments, self.main_class, self.settings)
            },
            "configurationOverrides": {
                "monitoringConfiguration": {"s3MonitoringConfiguration": {"logUri": self.log_uri}}
            },
        }


def run_on_eks(emr_containers: Any, job: SparkJobOnEks, patience: Patience) -> str:
    """Run a program and wait until it ends. It is cancelled if anything else ends the wait.

    :param emr_containers: a boto3 client of ``emr-containers``.
    :return: the id of the run.
    :raises JobFailed: if the program fails.
    :raises TimedOut: if it takes too long.
    """
    run = str(emr_containers.start_job_run(**job.to_request())["id"])
    ids = {"id": run, "virtualClusterId": job.virtual_cluster}
    wait_for_run(
        job,
        run,
        patience,
        read=lambda: emr_containers.describe_job_run(**ids)["jobRun"],
        cancel=lambda: emr_containers.cancel_job_run(**ids),
        ended=_ENDED,
        success="COMPLETED",
    )
    return run
