"""AWS behind the components: an emulator on loopback, and recorded answers where it lacks the service."""

import itertools
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

import tests.library.conftest as library
from mlplatform_components import Patience

emulator = library.emulator
aws = library.aws

Recorded = Callable[..., Any]


@pytest.fixture
def recorded() -> Any:
    """``recorded("emr-serverless", ("start_job_run", expected, answer), ...)`` is a client that answers these calls.

    Every request and answer is checked against AWS's own description of the service, and all calls must be made.
    """
    stubbers: list[Stubber] = []

    def make(service: str, *calls: tuple[str, Any, Any]) -> Any:
        client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")
        stubber = Stubber(client)
        for operation, expected, answer in calls:
            if isinstance(answer, str):
                stubber.add_client_error(operation, answer, expected_params=expected)
            else:
                stubber.add_response(operation, answer, expected)
        stubber.activate()
        stubbers.append(stubber)
        return client

    yield make
    for stubber in stubbers:
        stubber.assert_no_pending_responses()


def no_time(seconds: float = 100, interval: float = 10) -> Patience:
    """A wait whose clock moves only when it sleeps."""
    clock = Clock()
    return Patience(seconds, interval, clock.now, clock.sleep)


class Clock:
    """A clock that moves by sleeping and, a little, by being read."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._reads = itertools.count()

    def now(self) -> float:
        self.seconds += 0.001
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
