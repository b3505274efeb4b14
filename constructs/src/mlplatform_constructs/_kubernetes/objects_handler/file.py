"""Applies objects that are too large for an event, from a file among the app's assets."""

import json
from collections.abc import Mapping
from typing import Any

import boto3

from .kubectl import Kubectl


def apply_file(event: Mapping[str, Any], kubectl: Kubectl) -> None:
    """Apply the objects of a file. A delete request does nothing, because the inventory deletes objects."""
    if event["RequestType"] == "Delete":
        return
    properties = event["ResourceProperties"]
    found = boto3.client("s3").get_object(Bucket=properties["Bucket"], Key=properties["Key"])
    kubectl.apply(*json.loads(found["Body"].read()))
