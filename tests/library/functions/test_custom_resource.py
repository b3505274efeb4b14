"""Responses of custom resources to CloudFormation."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform_constructs._functions.custom_resource import ANSWER_SECONDS, RESPONSE_BYTES, answer, shortened


class CloudFormation(HTTPServer):
    """Waits for answers; the first ``deaf`` get lost."""

    def __init__(self) -> None:
        self.deaf = 0
        self.answers: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Receiver)

    @property
    def event(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server_port}/answer"
        return {"ResponseURL": url, "StackId": "stack", "RequestId": "1", "LogicalResourceId": "Guard"}


class _Receiver(BaseHTTPRequestHandler):
    server: CloudFormation

    def do_PUT(self) -> None:
        assert self.headers["Content-Type"] == ""  # the signature of the address covers an empty one
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.deaf -= 1
        if self.server.deaf < 0:
            self.server.answers.append(body)
        self.send_response(200 if self.server.deaf < 0 else 503)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudFormation]:
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "the-log")
    server = CloudFormation()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_a_success_is_reported_with_its_reason(cloudformation: CloudFormation) -> None:
    answer(cloudformation.event, "SUCCESS", "guard-1", "nothing left")
    assert cloudformation.answers == [
        {
            "StackId": "stack",
            "RequestId": "1",
            "LogicalResourceId": "Guard",
            "Status": "SUCCESS",
            "PhysicalResourceId": "guard-1",
            "Reason": "nothing left",
        }
    ]


def test_a_failure_without_a_word_is_a_failure_and_names_the_log(cloudformation: CloudFormation) -> None:
    answer(cloudformation.event, "FAILED", "guard-1", "")
    (told,) = cloudformation.answers
    assert told["Status"] == "FAILED"
    assert told["Reason"] == " (log group the-log)"


def test_a_long_reason_fits_whatever_it_is_made_of(cloudformation: CloudFormation) -> None:
    answer(cloudformation.event, "FAILED", "guard-1", "first" + '"ü\\' * 2_000 + "last")
    (told,) = cloudformation.answers
    assert 3_500 < len(json.dumps(told)) <= RESPONSE_BYTES
    assert told["Reason"].startswith("first")
    assert told["Reason"].endswith("last (log group the-log)")


def test_an_answer_that_got_lost_is_sent_again(cloudformation: CloudFormation, pauses: list[float]) -> None:
    cloudformation.deaf = 3
    answer(cloudformation.event, "SUCCESS", "guard-1", "")
    assert len(cloudformation.answers) == 1
    assert pauses == [1, 3, 5]


def test_an_answer_that_never_gets_through_ends_in_the_log(
    cloudformation: CloudFormation, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception would make Lambda repeat the work."""
    cloudformation.deaf = 9
    answer(cloudformation.event, "SUCCESS", "guard-1", "")
    assert not cloudformation.answers
    assert capsys.readouterr().out.count("CloudFormation has not got the answer: ") == 4
    assert sum(pauses) + 4 * 5 < ANSWER_SECONDS


@given(st.text(max_size=3_000), st.integers(100, 2_000))
def test_a_shortened_text_fits_and_a_short_one_stays(text: str, room: int) -> None:
    short = shortened(text, room)
    assert len(json.dumps(short)) - 2 <= room
    assert (short == text) == (len(json.dumps(text)) - 2 <= room)
