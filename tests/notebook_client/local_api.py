"""The adviser's API on loopback: its real service, a bucket in memory, and a state machine that is a thread."""

import base64
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.exceptions import ClientError

from job_adviser.service import PREPARE, Service, work
from tests.job_adviser.memory_s3 import MemoryS3

MACHINE = "arn:aws:states:eu-west-1:111111111111:stateMachine:prepare"
CREDENTIALS = {"client_id": "notebooks", "client_secret": "not guessed", "scope": "mlplatform/adviser"}


class ThreadStates:
    """Step Functions with the preparation's state machine.

    :param holds_after: number of batches after which a run waits until it is stopped. Default: it does not wait.
    """

    def __init__(self, s3: MemoryS3, holds_after: int | None) -> None:
        self._s3, self._holds_after, self._stopped = s3, holds_after, threading.Event()
        self.executions: dict[str, dict[str, Any]] = {}
        self.threads: list[threading.Thread] = []

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:
        arn = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"
        self.executions[arn] = {"status": "RUNNING", "startDate": datetime.now(UTC), "input": input}
        self.threads.append(threading.Thread(target=self._run, args=(self.executions[arn],), daemon=True))
        self.threads[-1].start()

    def _run(self, execution: dict[str, Any]) -> None:
        request = json.loads(execution["input"])
        try:
            for done, number in enumerate(work(self._s3, {"step": "plan", "request": request})):
                if done == self._holds_after:
                    self._stopped.wait()
                if execution["status"] != "RUNNING":
                    return
                work(self._s3, {"step": "batch", "number": number, "request": request})
            work(self._s3, {"step": "finish", "request": request})
            execution["status"] = "SUCCEEDED"
        except Exception as error:
            execution |= {"status": "FAILED", "cause": json.dumps({"errorMessage": str(error)})}

    def _found(self, arn: str) -> dict[str, Any]:
        if arn not in self.executions:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": ""}}, "DescribeExecution")
        return self.executions[arn]

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        return self._found(executionArn)

    def stop_execution(self, *, executionArn: str, cause: str) -> None:
        self._found(executionArn)["status"] = "ABORTED"
        self._stopped.set()


class LocalApi(ThreadingHTTPServer):
    """The server: ``/token`` is the user pool, everything else the API.

    - ``tokens``: the number of tokens that it issued.
    """

    def __init__(self, s3: MemoryS3, *, holds_after: int | None = None, expires_in: int = 3600) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.states = ThreadStates(s3, holds_after)
        self.service = Service(s3=s3, states=self.states, machines={PREPARE: MACHINE})
        self.tokens, self.expires_in = 0, expires_in

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def credentials(self) -> dict[str, str]:
        return {**CREDENTIALS, "token_url": f"{self.url}/token"}


@contextmanager
def serving(api: LocalApi) -> Iterator[LocalApi]:
    """Serve until the end of the block."""
    thread = threading.Thread(target=api.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.shutdown()
        api.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: LocalApi

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path == "/token":
            self._issue(body)
        elif self.headers["Authorization"] != f"Bearer token-{self.server.tokens}":
            self._answer(401, json.dumps({"message": "Unauthorized"}))
        else:
            event = {
                "rawPath": urllib.parse.unquote(self.path),
                "requestContext": {"http": {"method": self.command}},
                "body": body,
            }
            answer = self.server.service.handle(event)
            self._answer(answer["statusCode"], answer["body"])

    do_GET = do_POST = do_DELETE = _handle

    def _issue(self, body: str) -> None:
        pair = f"{CREDENTIALS['client_id']}:{CREDENTIALS['client_secret']}"
        form = dict(urllib.parse.parse_qsl(body))
        is_right = self.headers["Authorization"] == f"Basic {base64.b64encode(pair.encode()).decode()}"
        if not is_right or form != {"grant_type": "client_credentials", "scope": CREDENTIALS["scope"]}:
            self._answer(400, json.dumps({"error": "invalid_client"}))
            return
        self.server.tokens += 1
        token = f"token-{self.server.tokens}"
        self._answer(200, json.dumps({"access_token": token, "expires_in": self.server.expires_in}))

    def _answer(self, status: int, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read no log."""
