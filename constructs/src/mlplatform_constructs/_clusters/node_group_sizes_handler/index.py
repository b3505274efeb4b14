"""Reports the number of nodes in each group of a cluster, so that a deployment preserves it.

CloudFormation sets a group's desired size with every change of the group. An autoscaler may have changed that size,
and an outdated value would terminate nodes and their pods.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import boto3

from ..._functions.custom_resource import answer

NAME_LABEL = "mlplatform/node-group"
REVISION_TAG = "mlplatform/revision"


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Answer CloudFormation with the numbers, or with the reason why they cannot be read."""
    properties, itself = event["ResourceProperties"], event["LogicalResourceId"]
    try:
        sizes = {}
        if event["RequestType"] != "Delete":
            clients = boto3.client("eks"), boto3.client("autoscaling")
            sizes = sizes_of(properties["Groups"], properties["ClusterName"], *clients)
        answer(event, "SUCCESS", itself, "done", sizes)
    except Exception as error:
        answer(event, "FAILED", itself, f"{type(error).__name__}: {error}")


def sizes_of(groups: list[dict[str, Any]], cluster: str, eks: Any, autoscaling: Any) -> dict[str, int]:
    """Key of each wanted group to the number of its nodes, within its limits.

    A group that does not exist yet gets as many as the one that it replaces, which has the same name and subnets but
    another revision; with ``StartAtMinimum``, or where it replaces none, its minimum.

    :param groups: each with ``Key``, ``Name``, ``Revision``, ``Subnets``, ``Min``, ``Max`` and ``StartAtMinimum``.
    """
    existing = list(_groups(cluster, eks))
    sizes = {}
    for group in groups:
        least, most = int(group["Min"]), int(group["Max"])
        place = _place(group["Name"], group["Subnets"])
        same = [one for one in existing if _place(one["labels"].get(NAME_LABEL), one["subnets"]) == place]
        own = [one for one in same if one["tags"].get(REVISION_TAG) == group["Revision"]]
        former = [] if group["StartAtMinimum"] == "true" else same
        now = max((_desired(one, autoscaling) for one in own or former), default=least)
        sizes[group["Key"]] = min(max(now, least), most)
    return sizes


def _groups(cluster: str, eks: Any) -> Iterator[dict[str, Any]]:
    for page in eks.get_paginator("list_nodegroups").paginate(clusterName=cluster):
        for name in page["nodegroups"]:
            found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
            yield {**found, "labels": found.get("labels") or {}, "tags": found.get("tags") or {}}


def _place(name: str | None, subnets: list[str]) -> tuple[str | None, frozenset[str]]:
    return name, frozenset(subnets)


def _desired(group: Mapping[str, Any], autoscaling: Any) -> int:
    """The desired size of the Auto Scaling group, because the value of EKS may be some minutes old."""
    names = [one["name"] for one in group.get("resources", {}).get("autoScalingGroups", [])]
    if names:
        answer = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        if answer:
            return sum(int(one["DesiredCapacity"]) for one in answer)
    return int(group["scalingConfig"]["desiredSize"])
