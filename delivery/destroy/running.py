"""Refuses a destruction that AWS would refuse half-way, because something of a stack still runs."""

import os
import re
from collections.abc import Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from delivery.destroy.remains import Deployed
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_APPLICATION = "AWS::EMRServerless::Application"
_JOBS = re.compile(r"Teams\w+?(Emr|SageMaker)\w*Group")
"""Logical ids of security groups of jobs, which each team has."""
_DELETABLE = frozenset({"CREATED", "STOPPED", "TERMINATED"})
"""https://docs.aws.amazon.com/emr-serverless/latest/APIReference/API_DeleteApplication.html"""


def refuse_running_applications(destroyed: Iterable[Deployed], reader: Reader) -> None:
    """
    :raises DeliveryError: if an application of EMR Serverless is not stopped, with the command that stops it.
    """
    if "AWS_ENDPOINT_URL" in os.environ:  # an emulator runs no applications
        return
    running = [
        f"{of.stack.name}: application {id} of EMR Serverless is {state}; wait for its jobs or cancel them, run "
        f"`aws emr-serverless stop-application --application-id {id}`, then run this again"
        for of in destroyed
        for id in of.physical_ids(_APPLICATION)
        if (state := _state(of, id, reader)) not in _DELETABLE
    ]
    if running:
        raise DeliveryError("\n".join(running))


def refuse_running_jobs(destroyed: Iterable[Deployed], reader: Reader) -> None:
    """EC2 deletes no security group and no subnet in which an instance of a job still has a network interface.

    https://docs.aws.amazon.com/vpc/latest/userguide/delete-vpc.html

    :raises DeliveryError: if instances of EMR clusters or SageMaker jobs that pipelines started still run.
    """
    if "AWS_ENDPOINT_URL" in os.environ:  # an emulator runs no jobs
        return
    running = [line for of in destroyed if (groups := _groups_of_jobs(of)) for line in _interfaces(of, groups, reader)]
    if running:
        raise DeliveryError("\n".join(running))


def _groups_of_jobs(of: Deployed) -> list[str]:
    return [id for name, (type, id) in of.resources.items() if type == "AWS::EC2::SecurityGroup" and _JOBS.match(name)]


def _interfaces(of: Deployed, groups: list[str], reader: Reader) -> Iterator[str]:
    try:
        pages = reader.client("ec2", of.stack).get_paginator("describe_network_interfaces")
        found = [
            one["NetworkInterfaceId"]
            for page in pages.paginate(Filters=[{"Name": "group-id", "Values": groups}])
            for one in page["NetworkInterfaces"]
        ]
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"{of.stack.name}: network interfaces of jobs cannot be listed: {error}") from None
    if found:
        yield (
            f"{of.stack.name}: jobs still run, with network interfaces {', '.join(found[:3])}"
            f"{f' and {len(found) - 3} more' if len(found) > 3 else ''}; wait for them or end them "
            "(`aws emr list-clusters --active`, `aws sagemaker list-training-jobs --status-equals InProgress`), then "
            "run this again"
        )


def _state(of: Deployed, id: str, reader: Reader) -> str:
    try:
        found = reader.client("emr-serverless", of.stack).get_application(applicationId=id)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return "TERMINATED"
        raise DeliveryError(f"{of.stack.name}: the state of application {id} cannot be read: {error}") from None
    except BotoCoreError as error:
        raise DeliveryError(f"{of.stack.name}: the state of application {id} cannot be read: {error}") from None
    return str(found["application"]["state"])
