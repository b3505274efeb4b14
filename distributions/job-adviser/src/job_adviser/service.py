"""The adviser behind an HTTP API: advice, and runs of the preparation and of other jobs as state machines.

| request | answer |
|---|---|
| ``POST /advice`` | facts about the input, estimates, proposals |
| ``POST /runs`` | starts a run: ``{"job": "prepare", "input": {...}}`` |
| ``GET /runs/{run}`` | its phases and its progress |
| ``DELETE /runs/{run}`` | cancels it |

An event that is not a request of API Gateway's payload format 2.0 is a mistake of its sender, and raises an error.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from job_adviser import preparation
from job_adviser.advice import advise
from job_adviser.errors import AdviserError, InvalidRequest, NotFound
from job_adviser.estimate import Estimator, Job, LocalMachine, keys_of
from job_adviser.examine import examine
from job_adviser.places import Place
from job_adviser.preparation import Request, progress
from job_adviser.proposals import Thresholds

PREPARE = "prepare"
PHASES = ("plan", "prepare", "finish")
_RUN = re.compile(r"(?P<job>[a-z][a-z0-9-]{0,30})\.(?P<name>[A-Za-z0-9_-]{1,80})")
_MOST_BODY = 64 * 1024
_FINAL = {"SUCCEEDED": "succeeded", "FAILED": "failed", "TIMED_OUT": "failed", "ABORTED": "cancelled"}


@dataclass(frozen=True)
class Service:
    """Answers requests.

    :param s3: a boto3 S3 client.
    :param states: a boto3 client of Step Functions.
    :param machines: name of a job to the ARN of its state machine.
    :param seconds: time for the listing of an input.
    :param region: in which the jobs would run. Default: unknown.
    """

    s3: Any
    states: Any
    machines: Mapping[str, str]
    seconds: float = 20.0
    thresholds: Thresholds = field(default_factory=Thresholds)
    region: str = ""

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request.

        :raises ValueError: for an event that is not a request.
        """
        try:
            method, path = event["requestContext"]["http"]["method"], event["rawPath"]
        except (KeyError, TypeError):
            raise ValueError("the event is not a request of an HTTP API in payload format 2.0") from None
        try:
            return _answer(*self._route(method, path, event))
        except AdviserError as error:
            return _answer(error.status, {"error": str(error), "kind": type(error).__name__})

    def _route(self, method: str, path: str, event: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        match method, path.strip("/").split("/"):
            case "POST", ["advice"]:
                return 200, self.advice(_body(event))
            case "POST", ["runs"]:
                return 202, self.start(_body(event))
            case "GET", ["runs", run]:
                return 200, self.follow(run)
            case "DELETE", ["runs", run]:
                return 200, self.cancel(run)
        return 404, {"error": f"{method} {path}: no such request", "kind": "NotFound"}

    def advice(self, request: object) -> dict[str, Any]:
        """Advice on a job: ``input``, and optionally ``inventory``, ``job``, ``local`` and ``backends``."""
        found = keys_of(request, "request", ["input", "inventory", "job", "local", "backends"])
        job = Job.parse(found.get("job", {}))
        estimator = Estimator(local=LocalMachine.parse(found.get("local", {})))
        only = found.get("backends")
        if only is not None and not (isinstance(only, list) and only and all(isinstance(one, str) for one in only)):
            raise InvalidRequest(f"backends: must be a list of names, got {only!r}")
        uri = str(Place.parse(found.get("input")))
        dataset = examine(self.s3, uri, seconds=self.seconds, inventory=found.get("inventory"))
        advice = advise(dataset, job, estimator=estimator, thresholds=self.thresholds, only=only, region=self.region)
        return advice.document()

    def start(self, request: object) -> dict[str, Any]:
        """Start a run: ``job`` and its ``input``."""
        found = keys_of(request, "request", ["job", "input"])
        job = found.get("job")
        if not isinstance(job, str) or job not in self.machines:
            raise InvalidRequest(f"job: no {job!r}; there are: {', '.join(self.machines)}")
        given = found.get("input", {})
        if not isinstance(given, dict):
            raise InvalidRequest(f"input: must be an object, got {given!r}")
        name = f"run-{uuid.uuid4()}"
        if job == PREPARE:
            given = Request.parse({**given, "run": name}).document()
        with _Explained(f"{job}.{name}"):
            self.states.start_execution(stateMachineArn=self.machines[job], name=name, input=json.dumps(given))
        return {"run": f"{job}.{name}", "status": "running"}

    def follow(self, run: str) -> dict[str, Any]:
        """Status, phases, and the share of the work that is done, where that is known."""
        job, name, arn = self._execution(run)
        with _Explained(run):
            found = self.states.describe_execution(executionArn=arn)
        status = _FINAL.get(found["status"], "running")
        answer: dict[str, Any] = {"run": run, "status": status, "started": found["startDate"].isoformat()}
        if status == "failed":
            answer["error"] = self._cause(found)
        if job == PREPARE:
            output = Place.parse(json.loads(found["input"])["output"], what="output")
            done, planned = progress(self.s3, output, name)
            return {**answer, **_phases(status, done, planned), "output": str(output)}
        return {**answer, "phases": self._entered(arn, status), "progress": 1.0 if status == "succeeded" else None}

    def cancel(self, run: str) -> dict[str, Any]:
        """Stop a run; one that has ended stays as it is.

        A function that is at work finishes its batch; no further one is started.
        """
        _, _, arn = self._execution(run)
        with _Explained(run):
            if self._status(arn) == "running":
                try:
                    self.states.stop_execution(executionArn=arn, cause="cancelled by a request")
                except ClientError as error:
                    if error.response["Error"]["Code"] != "ValidationException":  # it ended in between
                        raise
            return {"run": run, "status": self._status(arn)}

    def _status(self, arn: str) -> str:
        return _FINAL.get(self.states.describe_execution(executionArn=arn)["status"], "running")

    def _execution(self, run: str) -> tuple[str, str, str]:
        match = _RUN.fullmatch(run)
        if not match or match["job"] not in self.machines:
            raise NotFound(f"{run}: no such run")
        machine = self.machines[match["job"]]
        return match["job"], match["name"], f"{machine.replace(':stateMachine:', ':execution:')}:{match['name']}"

    def _entered(self, arn: str, status: str) -> list[dict[str, Any]]:
        """The states that an execution has entered, in order."""
        history = self.states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        names = [each["stateEnteredEventDetails"]["name"] for each in history if "stateEnteredEventDetails" in each]
        left = {each["stateExitedEventDetails"]["name"] for each in history if "stateExitedEventDetails" in each}
        return [
            {"name": name, "state": "done" if name in left else status if status != "running" else "running"}
            for name in dict.fromkeys(names)
        ]

    @staticmethod
    def _cause(found: Mapping[str, Any]) -> str:
        """The message of the function that failed."""
        cause = found.get("cause") or found.get("error") or "no cause is known"
        try:
            return str(json.loads(cause)["errorMessage"])
        except (ValueError, KeyError, TypeError):
            return str(cause)


class _Explained:
    """Turns errors of Step Functions into the adviser's."""

    def __init__(self, run: str) -> None:
        self._run = run

    def __enter__(self) -> None:
        """Nothing is to be prepared."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            raise NotFound(f"{self._run}: no such run") from None
        if isinstance(error, (ClientError, BotoCoreError)):
            raise AdviserError(f"{self._run}: Step Functions refused: {error}") from None


def _phases(status: str, done: int, planned: int) -> dict[str, Any]:
    """The phases of a preparation, by what it has written."""
    reached = 0 if not planned else 1 if done < planned else 2
    states = []
    for number, name in enumerate(PHASES):
        state = "done" if number < reached or status == "succeeded" else "waiting"
        if number == reached and status != "succeeded":
            state = status
        states.append({"name": name, "state": state})
    share = 1.0 if status == "succeeded" else done / planned if planned else 0.0
    return {"phases": states, "progress": share, "done": done, "planned": planned}


def _body(event: Mapping[str, Any]) -> object:
    text = event.get("body") or ""
    if len(text) > _MOST_BODY:
        raise InvalidRequest(f"the body must have at most {_MOST_BODY // 1024} kB")
    try:
        raw = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
        found: object = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError):
        raise InvalidRequest("the body must be JSON") from None
    return found


def _answer(status: int, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"},
        "body": json.dumps(document, ensure_ascii=False),
    }


def work(s3: Any, event: Mapping[str, Any]) -> Any:
    """A step of the preparation's state machine: ``{"step": "plan", "request": {...}}``.

    :raises ValueError: for an event that is not a step.
    :raises AdviserError: if the step cannot be done.
    """
    try:
        step, request = event["step"], Request.parse(event["request"])
    except (KeyError, TypeError):
        raise ValueError("the event is not a step of the preparation") from None
    match step:
        case "plan":
            return preparation.plan(s3, request)
        case "batch":
            return preparation.run_batch(s3, request, int(event["number"]))
        case "finish":
            return preparation.finish(s3, request)
    raise ValueError(f"the preparation has no step {step!r}")
