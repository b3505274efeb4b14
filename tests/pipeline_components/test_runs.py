"""Runs started from outside, against a server that answers as the API of Kubeflow Pipelines does."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mlplatform_components import ComponentError, JobFailed, MachineClient, PipelinesApi, TimedOut
from mlplatform_components.runs import machine_token
from tests.pipeline_components.conftest import no_time


class FakePipelines(ThreadingHTTPServer):
    """Pipelines and runs in memory. A run takes the states of ``states`` one after the other, and stays in the last."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs: dict[str, dict[str, Any]] = {}
        self.versions = [{"pipeline_version_id": "version-2"}]
        self.states = ["PENDING", "RUNNING", "SUCCEEDED"]
        self.error: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        match method, path.removeprefix("/pipeline").removeprefix("/apis/v2beta1").split("/")[1:]:
            case "GET", ["pipelines", "names", "iterative" | "iterative-xgboost"]:
                return 200, {"pipeline_id": "pipeline-1"}
            case "GET", ["pipelines", "pipeline-1", "versions"]:
                assert query == {"page_size": "1", "sort_by": "created_at desc"}
                return 200, {"pipeline_versions": self.versions} if self.versions else {}
            case "GET", ["runs"]:
                name = json.loads(query["filter"])["predicates"][0]["string_value"]
                found = [run for run in self.runs.values() if run["display_name"] == name]
                return 200, {"runs": found}
            case "POST", ["runs"]:
                id = f"run-{len(self.runs) + 1}"
                self.runs[id] = {**body, "run_id": id, "namespace": query["namespace"], "reads": 0}
                return 200, self.runs[id]
            case "POST", ["runs", end] if end.endswith(":terminate"):
                self.runs[end.removesuffix(":terminate")]["terminated"] = True
                return 200, {}
            case "GET", ["runs", id]:
                run = self.runs[id]
                run["reads"] += 1
                state = self.states[min(run["reads"], len(self.states)) - 1]
                return 200, {"run_id": id, "state": state, **({"error": self.error} if self.error else {})}
        return 404, {"error": f"{method} {path} not found"}


class _Handler(BaseHTTPRequestHandler):
    server: FakePipelines

    def _answer(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        if address.path == "/oauth2/token":  # of the user pool
            code, content = 200, {"access_token": "token-of-machine"}
        elif self.headers["Authorization"] != "Bearer token-of-machine":
            code, content = 401, {"error": "unauthenticated"}
        else:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = dict(urllib.parse.parse_qsl(address.query))
            code, content = self.server.answer(self.command, address.path, query, body)
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def pipelines() -> Iterator[FakePipelines]:
    server = FakePipelines()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def api(server: FakePipelines, token: str = "token-of-machine") -> PipelinesApi:
    return PipelinesApi(server.address, token=lambda: token)


def start(server: FakePipelines, name: str = "nightly-2026-07-14", pipeline: str = "iterative") -> str:
    return api(server).start(pipeline, name=name, namespace="churn", parameters={"rounds": 3})


def test_the_newest_version_runs_with_its_parameters_in_the_namespace_of_the_team(pipelines: FakePipelines) -> None:
    run = start(pipelines)
    found = pipelines.runs[run]
    assert found["pipeline_version_reference"] == {"pipeline_id": "pipeline-1", "pipeline_version_id": "version-2"}
    assert found["runtime_config"] == {"parameters": {"rounds": 3}}
    assert (found["namespace"], found["service_account"]) == ("churn", "default-editor")
    api(pipelines).wait(run, no_time())
    assert found["reads"] == 3


def test_a_repeated_start_finds_the_run_of_the_first(pipelines: FakePipelines) -> None:
    assert start(pipelines) == start(pipelines)
    assert start(pipelines, "nightly-2026-07-15") != start(pipelines)


def test_a_failed_run_is_reported_with_its_reason(pipelines: FakePipelines) -> None:
    pipelines.states, pipelines.error = ["FAILED"], {"message": "step train failed"}
    with pytest.raises(JobFailed, match="run run-1: FAILED: step train failed"):
        api(pipelines).wait(start(pipelines), no_time())


def test_a_run_that_takes_too_long_is_terminated(pipelines: FakePipelines) -> None:
    pipelines.states = ["RUNNING"]
    run = start(pipelines)
    with pytest.raises(TimedOut):
        api(pipelines).wait(run, no_time(20))
    assert pipelines.runs[run]["terminated"]


def test_refuses_a_pipeline_that_does_not_exist_or_has_no_version(pipelines: FakePipelines) -> None:
    with pytest.raises(ComponentError, match="GET /pipelines/names/absent.*: 404"):
        start(pipelines, pipeline="absent")
    pipelines.versions = []
    with pytest.raises(ComponentError, match="pipeline 'iterative': has no version; upload one"):
        start(pipelines)


def test_a_refused_token_is_reported(pipelines: FakePipelines) -> None:
    with pytest.raises(ComponentError, match="401: .*unauthenticated"):
        api(pipelines, "other").start("iterative", name="n", namespace="churn", parameters={})


def test_a_machine_client_gets_its_token_from_the_user_pool(pipelines: FakePipelines) -> None:
    address = f"{pipelines.address}/oauth2/token"
    assert machine_token(address, "client", "secret", "platform/pipelines") == "token-of-machine"


def test_a_machine_client_is_read_from_its_secret(pipelines: FakePipelines, recorded: Any) -> None:
    fields = {"client_id": "m", "client_secret": "s", "scope": "platform/pipelines"}
    text = json.dumps({**fields, "token_url": f"{pipelines.address}/oauth2/token"})
    client = recorded("secretsmanager", ("get_secret_value", {"SecretId": "machine"}, {"SecretString": text}))
    machine = MachineClient.from_secret(client, "machine")
    assert machine.token() == "token-of-machine"
    assert "'s'" not in repr(machine)


@pytest.mark.parametrize("text", ["plain", "[]", '{"client_id": "m"}'])
def test_refuses_a_secret_that_is_of_no_machine(recorded: Any, text: str) -> None:
    client = recorded("secretsmanager", ("get_secret_value", {"SecretId": "machine"}, {"SecretString": text}))
    with pytest.raises(ComponentError, match="secret machine: must be JSON with client_id, client_secret, token_url"):
        MachineClient.from_secret(client, "machine")


def test_refuses_to_send_a_token_in_the_clear() -> None:
    with pytest.raises(ComponentError, match="address must start with 'https://', got 'http://kubeflow.example.org'"):
        PipelinesApi("http://kubeflow.example.org", token=lambda: "token")


def test_an_unreachable_token_endpoint_is_reported_with_its_address() -> None:
    with pytest.raises(ComponentError, match="https://127.0.0.1:1/oauth2/token: "):
        machine_token("https://127.0.0.1:1/oauth2/token", "client", "secret", "platform/pipelines")
