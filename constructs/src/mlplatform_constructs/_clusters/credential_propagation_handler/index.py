"""Waits until EKS hands out credentials for Pod Identity associations that it has just reported as created."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..._functions.custom_resource import answer


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Answer CloudFormation after the wait."""
    itself = event["LogicalResourceId"]
    try:
        waited = wait(event, time.sleep)
        answer(event, "SUCCESS", itself, f"waited {waited} s")
    except Exception as error:
        answer(event, "FAILED", itself, f"{type(error).__name__}: {error}")


def wait(event: Mapping[str, Any], sleep: Callable[[float], None]) -> int:
    """Wait if there are new associations.

    :return: the number of seconds.
    """
    properties, before = event["ResourceProperties"], event.get("OldResourceProperties", {})
    new = set(properties["Associations"]) - set(before.get("Associations", ()))
    if event["RequestType"] == "Delete" or not new:
        return 0
    seconds = int(properties["Seconds"])
    sleep(seconds)
    return seconds
