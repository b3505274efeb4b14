"""Runs in AWS and on this machine, with one way to follow and cancel both."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import boto3

from job_adviser import preparation
from job_adviser.errors import AdviserError
from job_adviser.service import PHASES, PREPARE
from mlplatform_notebook.client import Advice, Client, ClientError

Status = Literal["running", "succeeded", "failed", "cancelled"]
FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Phase:
    """A phase of a run.

    :param state: ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``.
    """

    name: str
    state: str


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    :param share: share of the work that is done, 0 to 1; None where that is not known.
    :param error: why it failed.
    """

    status: str
    phases: tuple[Phase, ...]
    share: float | None = None
    error: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status in FINAL

    def __str__(self) -> str:
        at = next((phase.name for phase in self.phases if phase.state == "running"), "")
        share = "" if self.share is None else f", {self.share:.0%}"
        return f"{self.status}{f' ({at})' if at else ''}{share}{f': {self.error}' if self.error else ''}"


class Run(Protocol):
    """A run, wherever it is."""

    @property
    def id(self) -> str:
        """Its name."""

    def progress(self) -> Progress:
        """How far it is."""

    def cancel(self) -> None:
        """Stop it; no effect on one that has ended."""


@dataclass(frozen=True)
class AwsRun:
    """A run of the adviser's API."""

    id: str
    client: Client

    def progress(self) -> Progress:
        """How far it is."""
        found = self.client.follow(self.id)
        phases = tuple(Phase(each["name"], each["state"]) for each in found["phases"])
        return Progress(found["status"], phases, found["progress"], found.get("error", ""))

    def cancel(self) -> None:
        """Stop it."""
        self.client.cancel(self.id)


Report = Callable[[str, float | None], None]
"""Called by work with the name of the phase that it is in, and the share of the whole that is done."""


class Cancelled(Exception):
    """Raised inside of a local run by its reports, once it was cancelled."""


class LocalRun:
    """Work in a thread of this process.

    :param work: is called with a function that takes reports.
    :param phases: names of its phases in order.
    """

    def __init__(self, work: Callable[[Report], object], phases: tuple[str, ...]) -> None:
        self.id = f"local.{uuid.uuid4()}"
        self.result: object = None
        """What the work returned."""
        self._phases, self._at, self._share = phases, phases[0], 0.0 if len(phases) > 1 else None
        self._status: Status = "running"
        self._error = ""
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def progress(self) -> Progress:
        """How far it is."""
        place = self._phases.index(self._at)
        states = []
        for number, name in enumerate(self._phases):
            state = "done" if number < place or self._status == "succeeded" else "waiting"
            states.append(Phase(name, self._status if number == place and self._status != "succeeded" else state))
        share = 1.0 if self._status == "succeeded" else self._share
        return Progress(self._status, tuple(states), share, self._error)

    def cancel(self) -> None:
        """Stop it at its next report."""
        self._cancelled.set()
        self._thread.join(timeout=30)

    def _run(self, work: Callable[[Report], object]) -> None:
        try:
            self.result = work(self._report)
            self._status = "succeeded"
        except Cancelled:
            self._status = "cancelled"
        except Exception as error:
            self._error = str(error) if isinstance(error, AdviserError) else f"{type(error).__name__}: {error}"
            self._status = "failed"

    def _report(self, phase: str, share: float | None) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self._at, self._share = phase, share


def advise(input: str, *, client: Client, **options: Any) -> Advice:
    """Advice on a job with the data below ``input``, an ``s3://`` prefix.

    :param options: those of ``Client.advise``.
    """
    return client.advise(input, **options)


def run(
    input: str,
    output: str,
    *,
    where: Literal["aws", "local"],
    format: str = "gzip",
    partition_by: str = "",
    client: Client | None = None,
    s3: Any = None,
) -> Run:
    """Prepare the data below ``input`` into ``output``.

    :param where: ``aws`` starts the preparation job by the API; ``local`` does the same work here.
    :param format: ``gzip`` or ``parquet``.
    :param partition_by: a column whose values become folders. Default: none.
    :param client: needed for ``aws``.
    :param s3: a boto3 S3 client for ``local``. Default: a new one.
    :raises ClientError: if the API refuses, or there is no client.
    :raises job_adviser.InvalidRequest: for values that cannot work.
    """
    wanted = {"input": input, "output": output, "format": format, "partition_by": partition_by}
    if where == "aws":
        if client is None:
            raise ClientError("run: where='aws' needs a client; give client=Client(...)")
        return AwsRun(client.start(PREPARE, wanted), client)
    request = preparation.Request.parse({**wanted, "run": f"local-{uuid.uuid4()}"})
    storage = s3 or boto3.client("s3")
    return LocalRun(lambda report: _prepare(storage, request, report), PHASES)


def _prepare(s3: Any, request: preparation.Request, report: Report) -> object:
    plan, batches, finish = PHASES
    report(plan, 0.0)
    numbers = preparation.plan(s3, request)
    for done, number in enumerate(numbers):
        report(batches, done / len(numbers))
        preparation.run_batch(s3, request, number)
    report(finish, 1.0)
    return preparation.finish(s3, request)


def run_function(function: Callable[[Report], object], phases: tuple[str, ...] = ("run",)) -> LocalRun:
    """Run your own function here, followed and cancelled like any other run.

    :param function: takes a function ``report(phase, share)``, at whose calls it can be cancelled.
    :param phases: the names of the phases that it reports. Default: one.
    :raises ValueError: if there is no phase.
    """
    if not phases:
        raise ValueError("phases is empty; name at least one")
    return LocalRun(function, phases)


def follow(run: Run, *, every: float = 2.0) -> Iterator[Progress]:
    """The progress of a run each time that it changes, until it has ended.

    :param every: seconds between two questions.
    """
    before = None
    while True:
        found = run.progress()
        if found != before:
            yield found
        if found.has_ended:
            return
        before = found
        time.sleep(every)


def cancel(run: Run) -> None:
    """Stop a run; what it has written stays, without ``_SUCCESS``."""
    run.cancel()
