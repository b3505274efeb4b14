"""What the Spark programs of all services have in common."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from mlplatform_components.errors import ComponentError, JobFailed
from mlplatform_components.waiting import Patience


class SparkJob(Protocol):
    """What reports name of a job."""

    @property
    def name(self) -> str: ...

    @property
    def log_uri(self) -> str: ...


def check_program(place: str, program: str, main_class: str | None) -> None:
    """:raises ComponentError: for a program that is not in S3, or a class without a jar."""
    if not program.startswith("s3://") or not program.endswith((".py", ".jar")):
        raise ComponentError(f"{place}: program must be a .py or .jar in S3, got {program!r}")
    if bool(main_class) != program.endswith(".jar"):
        raise ComponentError(f"{place}: main_class must be given for a .jar and for nothing else")


def check_run_name(place: str, name: str) -> None:
    """:raises ComponentError: for a name that is not an idempotency token."""
    if not 1 <= len(name) <= 64:
        raise ComponentError(f"{place}: name must be 1 to 64 characters, got {len(name)}")


def name_for_run(name: str, run: str) -> str:
    """A name of at most 64 characters that ends with the id of the run, so that it is unique."""
    return f"{name[: 63 - len(run)]}-{run}"


def wait_for_run(
    job: SparkJob,
    run: str,
    patience: Patience,
    *,
    read: Callable[[], Mapping[str, Any]],
    cancel: Callable[[], object],
    ended: Collection[str],
    success: str,
) -> None:
    """Wait until a run ends. It is cancelled if anything else ends the wait.

    :param ended: the states of a run that has ended.
    :raises JobFailed: for a run that ended in another state than ``success``, with EMR's reason.
    :raises TimedOut: if it takes too long.
    """
    found = patience.until_or_cancel(read, lambda found: found["state"] in ended, f"job {job.name!r} to end", cancel)
    if found["state"] != success:
        why = found.get("stateDetails") or found.get("failureReason") or "no reason given"
        raise JobFailed(f"job {job.name!r}, run {run}: {found['state']}: {why}; its logs are below {job.log_uri}")


def submission(
    program: str, arguments: tuple[str, ...], main_class: str | None, settings: Mapping[str, str]
) -> dict[str, Any]:
    """The program as EMR on EKS and EMR Serverless describe it."""
    parameters = [f"--conf {key}={value}" for key, value in settings.items()]
    parameters += [f"--class {main_class}"] if main_class else []
    submit: dict[str, Any] = {"entryPoint": program, "entryPointArguments": list(arguments)}
    return {**submit, **({"sparkSubmitParameters": " ".join(parameters)} if parameters else {})}
