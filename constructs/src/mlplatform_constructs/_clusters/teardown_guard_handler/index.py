"""Entry point of the custom resource: does nothing until its stack is deleted."""

import time
from typing import Any

import boto3

from ..._functions.custom_resource import ANSWER_SECONDS, answer
from .kubernetes import KubernetesApi
from .sweep import sweep


def handler(event: dict[str, Any], context: Any) -> None:
    """Answer CloudFormation; a deletion succeeds only when everything is gone."""
    identity = event.get("PhysicalResourceId") or f"teardown-guard-{event['RequestId']}"
    try:
        reason = _sweep(event, context) if event["RequestType"] == "Delete" else "nothing to do before the deletion"
        answer(event, "SUCCESS", identity, reason)
    except Exception as error:
        # Report every error to CloudFormation, which would otherwise wait for the timeout.
        answer(event, "FAILED", identity, str(error))


def _sweep(event: dict[str, Any], context: Any) -> str:
    properties = event["ResourceProperties"]
    if not _stack_is_being_deleted(event["StackId"]):
        return "the stack stays, and so does what is in the cluster"
    api = KubernetesApi.of_cluster(properties["ClusterName"])
    if api is None:
        return f"cluster {properties['ClusterName']} is gone already"
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    kept = sweep(api, volumes=properties["DeleteVolumes"] == "true", deadline=time.monotonic() + seconds)
    return f"retained, and billed until deleted: {', '.join(kept)}" if kept else "nothing left"


def _stack_is_being_deleted(stack_id: str) -> bool:
    """Whether the whole stack is being deleted. An update that drops or renames the guard deletes the guard alone."""
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"]
    return str(stack["StackStatus"]) in ("DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")
