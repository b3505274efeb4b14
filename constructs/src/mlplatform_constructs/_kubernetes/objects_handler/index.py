"""Entry point of the custom resources of ``Manifests``. kubectl and the AWS CLI come from layers."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..._functions.custom_resource import ANSWER_SECONDS, answer
from .file import apply_file
from .inventory import keep_inventory, physical_id_of
from .kubectl import ClusterGone, Failure, Kubectl
from .readiness import await_readiness

_ACTIONS: dict[str, Callable[[Mapping[str, Any], Kubectl], None]] = {
    "Custom::KubernetesFile": apply_file,
    "Custom::KubernetesInventory": keep_inventory,
    "Custom::KubernetesReadiness": await_readiness,
}


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handle a request of CloudFormation. It always responds, because CloudFormation would otherwise wait an hour."""
    print(json.dumps({**event, "ResponseURL": "..."}))
    end = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    physical_id = event.get("PhysicalResourceId") or physical_id_of(event)
    try:
        with tempfile.TemporaryDirectory() as folder:
            kubectl = Kubectl(event["ResourceProperties"]["ClusterName"], end=end, folder=folder)
            _ACTIONS[event["ResourceType"]](event, kubectl)
        if event["RequestType"] != "Delete":
            physical_id = physical_id_of(event)
        answer(event, "SUCCESS", physical_id, "done")
    except ClusterGone as gone:
        answer(event, "SUCCESS" if event["RequestType"] == "Delete" else "FAILED", physical_id, str(gone))
    except Exception as error:
        told = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
        answer(event, "FAILED", physical_id, told)
