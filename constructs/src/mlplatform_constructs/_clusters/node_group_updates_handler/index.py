"""Starts the update of one outdated node group, and counts those that are outdated.

EKS never updates managed nodes automatically. One group is updated at a time, to preserve capacity; the next call
continues. EKS respects disruption budgets, and fails the update if one blocks the drain of a node for 15 minutes.

https://docs.aws.amazon.com/eks/latest/userguide/update-managed-node-group.html
"""

import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3


@dataclass(frozen=True)
class Update:
    """What a group is to become."""

    group: str
    version: str
    release: str


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Always report; start an update if the event is ``{"update": true}`` and no group is being changed."""
    cluster, parameters = os.environ["CLUSTER"], json.loads(os.environ["RELEASE_PARAMETERS"])
    eks, ssm = boto3.client("eks"), boto3.client("ssm")
    groups = _groups(cluster, eks)
    outdated = updates(groups, _minor(cluster, eks), parameters, ssm)
    print(_metric(cluster, len(outdated)))
    busy = [name for name, group in groups.items() if group["status"] in ("CREATING", "UPDATING", "DELETING")]
    if not event.get("update") or not outdated:
        return
    if busy:
        print(f"not started: {', '.join(busy)} is being changed")
        return
    # At random, so that a group whose nodes cannot be drained does not keep the others from their update.
    chosen = random.choice(outdated)
    eks.update_nodegroup_version(
        clusterName=cluster,
        nodegroupName=chosen.group,
        version=chosen.version,
        releaseVersion=chosen.release,
        force=False,
    )
    print(f"started: {chosen.group} to {chosen.release} of Kubernetes {chosen.version}")


def updates(groups: Mapping[str, Any], minor: str, parameters: Mapping[str, str], ssm: Any) -> list[Update]:
    """The groups without the latest release of their image for ``minor``.

    Groups with custom images are never outdated.

    :param parameters: the parameter with the latest release, by image type.
    """
    newest: dict[str, str] = {}
    found = []
    for name, group in groups.items():
        image = group["amiType"]
        if image not in parameters:
            continue
        if image not in newest:
            parameter = parameters[image].format(minor=minor)
            newest[image] = ssm.get_parameter(Name=parameter)["Parameter"]["Value"]
        if group["version"] != minor or group["releaseVersion"] != newest[image]:
            found.append(Update(name, minor, newest[image]))
    return found


def _groups(cluster: str, eks: Any) -> dict[str, Any]:
    pages = eks.get_paginator("list_nodegroups").paginate(clusterName=cluster)
    names = [name for page in pages for name in page["nodegroups"]]
    return {name: eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"] for name in names}


def _minor(cluster: str, eks: Any) -> str:
    return str(eks.describe_cluster(name=cluster)["cluster"]["version"])


def _metric(cluster: str, outdated: int) -> str:
    """A log line that CloudWatch reads as a metric.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    name = os.environ["METRIC"]
    metrics = {"Namespace": os.environ["METRIC_NAMESPACE"], "Dimensions": [["Cluster"]], "Metrics": [{"Name": name}]}
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}
    return json.dumps({"_aws": about, "Cluster": cluster, name: outdated})
