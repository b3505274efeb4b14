"""Entry point: creates databases and users for CloudFormation, and runs rotation steps for Secrets Manager.

Environment: MASTER_SECRET (ARN of the master user's secret, which RDS manages).
"""

import os
from typing import Any

import boto3
from botocore.config import Config

from ..._functions.custom_resource import answer
from . import rotation, setup

_BOUNDED = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


def handler(event: dict[str, Any], context: Any) -> None:
    """Handle an event: raise errors to Secrets Manager, send a response to CloudFormation."""
    if "RequestType" in event:
        _custom_resource(event)
        return
    rotation.rotate(
        _store(),
        master=os.environ["MASTER_SECRET"],
        secret=event["SecretId"],
        token=event["ClientRequestToken"],
        step=event["Step"],
    )


def _custom_resource(event: dict[str, Any]) -> None:
    """Create databases and users. A delete request does nothing, because they are deleted with the instance."""
    identity = event.get("PhysicalResourceId") or f"metadata-users-{event['RequestId']}"
    try:
        reason = "databases are deleted with their instance"
        if event["RequestType"] != "Delete":
            secrets = event["ResourceProperties"]["Secrets"]
            reason = setup.set_up(_store(), master=os.environ["MASTER_SECRET"], secrets=secrets)
        answer(event, "SUCCESS", identity, reason)
    except Exception as error:
        # Report every error to CloudFormation, which would otherwise wait for the timeout.
        answer(event, "FAILED", identity, str(error))


def _store() -> Any:
    return boto3.client("secretsmanager", config=_BOUNDED)
