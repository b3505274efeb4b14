"""Entry point: CloudFormation asks for databases and users, Secrets Manager for the steps of a rotation.

Environment: MASTER_SECRET (ARN of the secret that RDS keeps for the master user).
"""

import json
import os
import urllib.request
from typing import Any

import boto3
from botocore.config import Config

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
        _answer(event, "SUCCESS", identity, reason)
    except Exception as error:
        # Whatever went wrong must reach the person who deploys, or CloudFormation waits for nothing.
        _answer(event, "FAILED", identity, f"{error} (log group {os.environ['AWS_LAMBDA_LOG_GROUP_NAME']})")


def _store() -> Any:
    return boto3.client("secretsmanager", config=_BOUNDED)


def _answer(event: dict[str, Any], status: str, identity: str, reason: str) -> None:
    print(json.dumps({"status": status, "reason": reason}))
    body = {
        "Status": status,
        "Reason": reason if len(reason) < 2000 else f"{reason[:900]} ... {reason[-900:]}",
        "PhysicalResourceId": identity,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    # An empty content type: the address is signed without one.
    request = urllib.request.Request(
        event["ResponseURL"], data=json.dumps(body).encode(), method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=20):
        pass
