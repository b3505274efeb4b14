"""Answers requests of the adviser's HTTP API."""

import functools
import json
import os
from typing import Any

import boto3
from botocore.config import Config

from job_adviser.proposals import Thresholds
from job_adviser.service import Service

_CONNECTIONS = 32
"""More than the threads of a listing."""


@functools.cache
def _service() -> Service:
    """One for the lifetime of the process, with its connections."""
    config = Config(max_pool_connections=_CONNECTIONS, connect_timeout=3, read_timeout=10)
    machines = {
        name.removeprefix("JOB_").lower().replace("_", "-"): arn
        for name, arn in os.environ.items()
        if name.startswith("JOB_")
    }
    return Service(
        s3=boto3.client("s3", config=config),
        states=boto3.client("stepfunctions", config=config),
        machines=machines,
        seconds=float(os.environ["LISTING_SECONDS"]),
        thresholds=Thresholds(**json.loads(os.environ["THRESHOLDS"])),
        region=os.environ["AWS_REGION"],
    )


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Answer a request."""
    return _service().handle(event)
