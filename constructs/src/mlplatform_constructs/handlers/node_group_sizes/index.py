"""Tells how many nodes each group of a cluster has now, so that a deployment leaves them as they are.

CloudFormation sets a group's number whenever it changes the group. An autoscaler has changed that number meanwhile, and
nodes that are one too many would go, with whatever runs on them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import boto3

from ..custom_resource import answer

NAME_LABEL = "mlplatform/node-group"


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Tell CloudFormation the numbers, or why nobody could ask for them."""
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
    """Key of each wanted group to the number of its nodes, within its limits; its minimum where it is not there yet.

    :param groups: each with ``Key``, ``Name``, ``Subnets``, ``Min`` and ``Max``.
    """
    there = {_place(one["labels"].get(NAME_LABEL), one["subnets"]): one for one in _groups(cluster, eks)}
    sizes = {}
    for group in groups:
        least, most = int(group["Min"]), int(group["Max"])
        found = there.get(_place(group["Name"], group["Subnets"]))
        now = _desired(found, autoscaling) if found else least
        sizes[group["Key"]] = min(max(now, least), most)
    return sizes


def _groups(cluster: str, eks: Any) -> Iterator[dict[str, Any]]:
    for page in eks.get_paginator("list_nodegroups").paginate(clusterName=cluster):
        for name in page["nodegroups"]:
            found = eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
            yield {**found, "labels": found.get("labels") or {}}


def _place(name: str | None, subnets: list[str]) -> tuple[str | None, frozenset[str]]:
    return name, frozenset(subnets)


def _desired(group: Mapping[str, Any], autoscaling: Any) -> int:
    """As the Auto Scaling group has it: what EKS tells may be some minutes old."""
    names = [one["name"] for one in group.get("resources", {}).get("autoScalingGroups", [])]
    if names:
        answer = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
        if answer:
            return sum(int(one["DesiredCapacity"]) for one in answer)
    return int(group["scalingConfig"]["desiredSize"])
