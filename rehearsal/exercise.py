"""Triggers everything once that waits for events: functions, rotations, streams, bucket events, schedules.

Each receives events in AWS's format, valid ones and ones that it must refuse. The resulting calls are made with the
functions' own roles, and authorized by their policies.
"""

import functools
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from delivery.assembly import Stack
from rehearsal import events
from rehearsal.answers import Answers
from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError

_WAIT_SECONDS = 300
_ANSWER_SECONDS = 900
_CDK = re.compile(r"(^|/)(Custom::|KubectlProvider/)")
"""Construct paths of functions that the CDK brings, whose answers are its own."""
_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
"""https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html"""


@dataclass
class Exercise:
    """One run over the deployed resources of an assembly.

    - ``done``: the number of events of each kind.

    :param state: the emulator's state after the deployment.
    """

    assembly: Assembly
    aws: EmbeddedAws
    state: Mapping[str, Any]
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._physical = {(stack, id): name for stack, id, name in self.state["physical"]}

    def run(self) -> None:
        """:raises RehearsalError: if a valid event fails, an invalid one succeeds, or a function never ran."""
        for stack in self.assembly.stacks:
            self._rotate(stack)
            self._invoke(stack)
            self._ask_again(stack)
            self._stream(stack)
            self._store(stack)
            self._start(stack)
            self._advise(stack)
        self._all_ran()

    def _rotate(self, stack: Stack) -> None:
        for rotation in stack.resources("AWS::SecretsManager::RotationSchedule").values():
            properties = rotation["Properties"]
            function = self._of(stack, properties["RotationLambdaARN"])
            event = {"SecretId": self._of(stack, properties["SecretId"]), "ClientRequestToken": str(uuid.uuid4())}
            for step in _STEPS:
                self._call(stack, function, event | {"Step": step}, refused=False)
            again = event | {"ClientRequestToken": str(uuid.uuid4()), "Step": "setSecret"}
            self._call(stack, function, again, refused=True)
            self._count("rotations")

    def _invoke(self, stack: Stack) -> None:
        for id in stack.resources("AWS::Lambda::Function"):
            for event, refused in events.for_function(stack.paths.get(id, id)):
                self._call(stack, self._physical[stack.name, id], event, refused=refused)
                self._count("events to refuse" if refused else "events")

    def _ask_again(self, stack: Stack) -> None:
        """Send the platform's own custom resources an update that changes nothing, as CloudFormation sends them."""
        for id, resource in stack.template.get("Resources", {}).items():
            token = resource.get("Properties", {}).get("ServiceToken")
            own = token.get("Fn::GetAtt", [""])[0] if isinstance(token, dict) else ""
            if not own or _CDK.search(stack.paths.get(own, own)):
                continue
            properties = self._resolved(stack, resource["Properties"])
            event = {
                "RequestType": "Update",
                "ResourceType": resource["Type"],
                "StackId": f"arn:aws:cloudformation:{stack.region}:{stack.account}:stack/{stack.name}/0",
                "RequestId": str(uuid.uuid4()),
                "LogicalResourceId": id,
                "PhysicalResourceId": self._physical.get((stack.name, id), id),
                "ResourceProperties": properties,
                "OldResourceProperties": properties,
            }
            with Answers() as answers:
                self._call(stack, self._of(stack, token), {**event, "ResponseURL": answers.url}, refused=False)
            if [one["Status"] for one in answers.received] != ["SUCCESS"]:
                raise RehearsalError(f"{stack.id}/{stack.paths.get(id, id)}: an update failed: {answers.received}")
            self._count("custom resources")

    def _resolved(self, stack: Stack, value: Any) -> Any:
        """Properties as CloudFormation hands them to a function."""
        if isinstance(value, list):
            return [self._resolved(stack, item) for item in value]
        if isinstance(value, dict) and not any(key == "Ref" or key.startswith("Fn::") for key in value):
            return {key: self._resolved(stack, item) for key, item in value.items()}
        return self._of(stack, value)

    def _stream(self, stack: Stack) -> None:
        for mapping in stack.resources("AWS::Lambda::EventSourceMapping").values():
            properties = mapping["Properties"]
            stream = self._of(stack, properties["EventSourceArn"])
            function = self._of(stack, properties["FunctionName"])
            client = self._client("lambda", stack)
            variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
            before = self._runs(function)
            records = [
                {"Data": data, "PartitionKey": str(number)}
                for number, data in enumerate(events.for_stream(json.loads(variables["FEATURE_GROUP"])))
            ]
            answer = self._client("kinesis", stack).put_records(StreamName=stream, Records=records)
            if answer["FailedRecordCount"]:
                raise RehearsalError(f"{stack.id}: {stream} rejected {answer['FailedRecordCount']} records")
            self._wait(f"{stack.id}: {function} to read {stream}", self._more_runs(function, before))
            self._count("records", len(records))

    def _store(self, stack: Stack) -> None:
        """Put objects into buckets whose events a rule of this stack sends to a function."""
        for rule in stack.resources("AWS::Events::Rule").values():
            properties = rule["Properties"]
            named = properties.get("EventPattern", {}).get("detail", {}).get("bucket", {}).get("name", [])
            functions = [self._of(stack, target["Arn"]) for target in properties["Targets"]]
            for bucket in (self._of(stack, each) for each in named):
                self._put(stack, bucket, functions)

    def _put(self, stack: Stack, bucket: str, functions: Sequence[str]) -> None:
        client = self._client("s3", stack)
        before = {name: self._runs(name) for name in functions}
        for key, body in events.objects():
            client.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256")
            self._count("objects")
        daily = {"source": "aws.events", "detail-type": "Scheduled Event"}
        for name in functions:
            self._wait(f"{stack.id}: {name} to see {bucket}", self._more_runs(name, before[name]))
            self._call(stack, name, daily, refused=False)
        for key, body in events.missing_objects():
            client.put_object(Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256")
            self._count("objects")
        for name in functions:
            self._call(stack, name, daily, refused=False)
        self._empty(client, bucket)

    def _empty(self, client: Any, bucket: str) -> None:
        """Restore the bucket's former state, so that its stack can be deleted."""
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                client.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])

    def _start(self, stack: Stack) -> None:
        """Start the targets of schedules with their input."""
        for schedule in stack.resources("AWS::Scheduler::Schedule").values():
            target = schedule["Properties"]["Target"]
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            text = target.get("Input", "{}").replace("<aws.scheduler.scheduled-time>", now)
            client = self._client("stepfunctions", stack)
            arn = client.start_execution(stateMachineArn=self._of(stack, target["Arn"]), input=text)["executionArn"]
            self._wait(f"{stack.id}: {arn} to end", functools.partial(_has_ended, client, arn))
            ended = client.describe_execution(executionArn=arn)
            if ended["status"] != "SUCCEEDED":
                why = ended.get("cause") or ended.get("error") or "no reason is known"
                raise RehearsalError(f"{stack.id}: {arn}: {ended['status']}: {why}")
            self._count("executions")

    def _advise(self, stack: Stack) -> None:
        """Ask the function behind an HTTP API for advice on each of its inputs; prepare one, and cancel a run of it."""
        for resource in stack.resources("AWS::ApiGatewayV2::Integration").values():
            function = self._of(stack, resource["Properties"]["IntegrationUri"])
            client = self._client("s3", stack)
            for uri in self._output(stack, "AdviserInputs").split():
                bucket, _, prefix = uri.removeprefix("s3://").partition("/")
                try:
                    for key, body in events.tables():
                        client.put_object(Bucket=bucket, Key=f"{prefix}rehearsal/{key}", Body=body)
                except client.exceptions.ClientError:  # collected data is its owner's
                    self._ask(stack, function, "POST", "/advice", {"input": uri}, status=404)
                    continue
                self._prepare(stack, function, f"{uri}rehearsal/")
                self._empty(client, bucket)
                self._count("advice")

    def _prepare(self, stack: Stack, function: str, source: str) -> None:
        advice = self._ask(stack, function, "POST", "/advice", {"input": source})
        if advice["input"]["objects"] != len(list(events.tables())):
            raise RehearsalError(f"{stack.id}: the advice is on {advice['input']}")
        output = self._output(stack, "AdviserOutput")
        wanted = {"job": "prepare", "input": {"input": source, "output": output}}
        run = self._ask(stack, function, "POST", "/runs", wanted, status=202)["run"]
        found = functools.partial(self._ask, stack, function, "GET", f"/runs/{run}")
        self._wait(f"{stack.id}: {run} to end", lambda: found()["status"] != "running")
        if (ended := found())["status"] != "succeeded":
            raise RehearsalError(f"{stack.id}: {run}: {ended}")
        again = self._ask(stack, function, "POST", "/runs", wanted, status=202)["run"]
        cancelled = self._ask(stack, function, "DELETE", f"/runs/{again}")
        if cancelled["status"] not in ("cancelled", "succeeded"):  # it may have been faster
            raise RehearsalError(f"{stack.id}: {again}: {cancelled}")
        self._empty(self._client("s3", stack), output.removeprefix("s3://").partition("/")[0])

    def _ask(
        self, stack: Stack, function: str, method: str, path: str, body: object = None, *, status: int = 200
    ) -> Any:
        event = json.dumps(events.request(method, path, body))
        answer = json.load(self._client("lambda", stack).invoke(FunctionName=function, Payload=event)["Payload"])
        if answer.get("statusCode") != status:
            raise RehearsalError(f"{stack.id}: {function}: {method} {path}: {answer}")
        return json.loads(answer["body"])

    def _output(self, stack: Stack, name: str) -> str:
        return self._of(stack, stack.template["Outputs"][name]["Value"])

    def _all_ran(self) -> None:
        ran = self.aws.state()["invoked"]
        idle = [
            f"{stack.id}/{stack.paths.get(id, id)}"
            for stack in self.assembly.stacks
            for id in stack.resources("AWS::Lambda::Function")
            if self._physical.get((stack.name, id)) not in ran
        ]
        if idle:
            raise RehearsalError(f"{', '.join(idle)}: never invoked; add an event to rehearsal/events.py")

    def _call(self, stack: Stack, function: str, event: Any, *, refused: bool) -> None:
        answer = self._client("lambda", stack).invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.load(answer["Payload"])
        if ("FunctionError" in answer) != refused:
            what = "succeeded but must be refused" if refused else f"failed: {payload}"
            raise RehearsalError(f"{stack.id}: {function}: an event {what}: {json.dumps(event)[:300]}")

    def _of(self, stack: Stack, value: Any) -> str:
        """The physical id of a template reference, resolved through exports and outputs of other stacks."""
        match value:
            case str():
                return value
            case {"Ref": str(id)} | {"Fn::GetAtt": [str(id), *_]}:
                return str(self._physical[stack.name, id])
            case {"Fn::Join": [str(between), list(parts)]}:
                return between.join(self._of(stack, part) for part in parts)
            case {"Fn::ImportValue": str(name)}:
                return self._exported(name)
            case {"Fn::GetStackOutput": {"StackName": name, "OutputName": output}}:
                other = next(each for each in self.assembly.stacks if each.name == name)
                return self._of(other, other.template["Outputs"][output]["Value"])
        raise RehearsalError(f"{stack.id}: {value}: the rehearsal cannot resolve this reference")

    def _exported(self, name: str) -> str:
        for stack in self.assembly.stacks:
            for output in stack.template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == name:
                    return self._of(stack, output["Value"])
        raise RehearsalError(f"{name}: no stack exports it")

    def _runs(self, function: str) -> int:
        return int(self.aws.state()["invoked"].get(function.rpartition(":")[2], 0))

    def _more_runs(self, function: str, before: int) -> Callable[[], bool]:
        return lambda: self._runs(function) > before

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + _WAIT_SECONDS
        while not ready():
            if time.monotonic() > until:
                raise RehearsalError(f"timed out after {_WAIT_SECONDS} s waiting for {what}")
            time.sleep(0.2)

    def _count(self, what: str, number: int = 1) -> None:
        self.done[what] = self.done.get(what, 0) + number

    def _client(self, service: str, stack: Stack) -> Any:
        given = self.aws.environment(stack.region)
        session = boto3.Session(
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            region_name=stack.region,
        )
        config = Config(s3={"addressing_style": "path"}, read_timeout=_ANSWER_SECONDS)
        return session.client(service, endpoint_url=given["AWS_ENDPOINT_URL"], config=config)


def _has_ended(client: Any, execution: str) -> bool:
    """Whether an execution has ended.

    :raises RehearsalError: if a task has failed, because the execution would retry it for minutes.
    """
    if client.describe_execution(executionArn=execution)["status"] != "RUNNING":
        return True
    events = client.get_execution_history(executionArn=execution, maxResults=100)["events"]
    for event in events:
        if failed := event.get("taskFailedEventDetails"):
            raise RehearsalError(f"{execution}: {failed.get('error')}: {failed.get('cause')}")
    return False


def listed(done: Mapping[str, int]) -> Iterator[str]:
    """A summary of the events."""
    return (f"{number} {what}" for what, number in done.items())
