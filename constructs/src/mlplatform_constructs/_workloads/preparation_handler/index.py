"""Runs one step of the preparation job: plan, batch or finish."""

import functools
from typing import Any

import boto3
from botocore.config import Config

from job_adviser.service import work


@functools.cache
def _client() -> Any:
    return boto3.client("s3", config=Config(connect_timeout=3, read_timeout=60))


def handler(event: dict[str, Any], _context: Any) -> Any:
    """Run a step."""
    return work(_client(), event)
