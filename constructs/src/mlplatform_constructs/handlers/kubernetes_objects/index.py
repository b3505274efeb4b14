"""Entry point of the custom resources of ``Manifests``. kubectl and the AWS CLI come from layers."""

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from .inventory import keep_inventory, physical_id_of
from .kubectl import ClusterGone, Failure, Kubectl
from .readiness import await_readiness

RESPONSE_BYTES = 4_096
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html"""
SPARE_SECONDS = 40
"""Of the function's life, for a last look at the objects and for the answer."""

_ACTIONS: dict[str, Callable[[Mapping[str, Any], Kubectl], None]] = {
    "Custom::KubernetesInventory": keep_inventory,
    "Custom::KubernetesReadiness": await_readiness,
}


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Do what CloudFormation asks, and answer whatever happens: without an answer it waits."""
    print(json.dumps({**event, "ResponseURL": "..."}))
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - SPARE_SECONDS
    physical_id, reason = event.get("PhysicalResourceId") or physical_id_of(event), ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            kubectl = Kubectl(event["ResourceProperties"]["ClusterName"], end=end, folder=folder)
            _ACTIONS[event["ResourceType"]](event, kubectl)
        if event["RequestType"] != "Delete":
            physical_id = physical_id_of(event)
    except ClusterGone as gone:
        reason = "" if event["RequestType"] == "Delete" else str(gone)
    except Exception as error:
        reason = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
    _answer(event, physical_id, reason)


def _answer(event: Mapping[str, Any], physical_id: str, failure: str) -> None:
    answer = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"PhysicalResourceId": physical_id, "Status": "FAILED" if failure else "SUCCESS", "Reason": ""}
    if failure:
        print(failure)
        whole = f"{failure}\nLog group: {os.environ['AWS_LAMBDA_LOG_GROUP_NAME']}"
        answer["Reason"] = shortened(whole, RESPONSE_BYTES - len(json.dumps(answer)))
    request = urllib.request.Request(
        event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT", headers={"Content-Type": ""}
    )
    for pause in (1, 3, 5, 0):
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            print(f"CloudFormation has not got the answer: {error}")
            time.sleep(pause)


def shortened(text: str, room: int) -> str:
    """A text whose JSON takes at most ``room`` bytes. Its beginning and its end stay: the cause, and where to look."""
    kept, short = len(text), text
    while len(json.dumps(short)) - 2 > room:
        kept -= max(2, kept // 20)
        head, tail = text[: kept // 2], text[len(text) - kept // 2 :]
        short = f"{head}\n[{len(text) - len(head) - len(tail)} characters are in the log only]\n{tail}"
    return short
