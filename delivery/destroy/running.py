"""Refuses a destruction that AWS would refuse half-way, because something of a stack still runs."""

import os
from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from delivery.destroy.remains import Deployed
from delivery.errors import DeliveryError
from delivery.sessions import Reader

_APPLICATION = "AWS::EMRServerless::Application"
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
