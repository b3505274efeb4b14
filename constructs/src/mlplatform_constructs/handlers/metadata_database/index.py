"""Entry point: CloudFormation asks for databases and users, Secrets Manager for the steps of a rotation.

Environment: MASTER_SECRET (ARN of the secret that RDS keeps for the master user).
"""

import os
from typing import Any

import boto3
from botocore.config import Config

from ..custom_resource import answer
from . import rotation, setup

_BOUNDED = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


def handler(event: dict[str, Any], context: Any) -> None:
    """Do what the event asks for; raises to Secrets Manager, answers CloudFormation."""
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
    """Make databases and users. They go with the instance, so a deletion does nothing."""
    identity = event.get("PhysicalResourceId") or f"metadata-users-{event['RequestId']}"
    try:
        reason = "databases go with their instance"
        if event["RequestType"] != "Delete":
            secrets = event["ResourceProperties"]["Secrets"]
            reason = setup.set_up(_store(), master=os.environ["MASTER_SECRET"], secrets=secrets)
        answer(event, "SUCCESS", identity, reason)
    except Exception as error:
        # Whatever went wrong must reach the person who deploys, or CloudFormation waits for nothing.
        answer(event, "FAILED", identity, str(error))


def _store() -> Any:
    return boto3.client("secretsmanager", config=_BOUNDED)
