"""Creates an AD Connector, waits until it is active, and deletes it: CloudFormation has no resource type for it.

The password of the service account is passed only from Secrets Manager to Directory Service.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3

from ..._functions.custom_resource import ANSWER_SECONDS, answer

_POLL_SECONDS = 15


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Respond to CloudFormation when the directory is created or deleted."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    connector = Connector(boto3.client("ds"), boto3.client("secretsmanager"), deadline=deadline)
    identity = event.get("PhysicalResourceId", "none")
    try:
        if event["RequestType"] == "Delete":
            connector.delete(identity)
        elif event["RequestType"] == "Create" or event["ResourceProperties"] != event["OldResourceProperties"]:
            identity = connector.create(event["ResourceProperties"])  # another id: the former one is deleted next
        answer(event, "SUCCESS", identity, "done")
    except Exception as error:
        # Report every error to CloudFormation, which would otherwise wait an hour.
        answer(event, "FAILED", identity, str(error))


class Connector:
    """One connector.

    :param deadline: time by which waiting ends, by the monotonic clock.
    """

    def __init__(self, directories: Any, secrets: Any, *, deadline: float, sleep: Callable[[float], None] = time.sleep):
        self._directories, self._secrets = directories, secrets
        self._deadline, self._sleep = deadline, sleep

    def create(self, properties: Mapping[str, Any]) -> str:
        """Create one and wait until it is active.

        :raises RuntimeError: if it does not become active; it is deleted then.
        """
        secret = self._secrets.get_secret_value(SecretId=properties["CredentialsSecretArn"])
        credentials = json.loads(secret["SecretString"])
        identity: str = self._directories.connect_directory(
            Name=properties["Name"],
            Size=properties["Size"],
            Password=credentials["password"],
            ConnectSettings={
                "VpcId": properties["VpcId"],
                "SubnetIds": properties["SubnetIds"],
                "CustomerDnsIps": properties["DnsIps"],
                "CustomerUserName": credentials["username"],
            },
        )["DirectoryId"]
        try:
            self._wait_until_active(identity)
        except RuntimeError:
            self._directories.delete_directory(DirectoryId=identity)
            raise
        return identity

    def delete(self, identity: str) -> None:
        """Delete it and wait until it is gone; one that never was is gone already."""
        if not identity.startswith("d-") or self._stage(identity) is None:
            return
        self._directories.delete_directory(DirectoryId=identity)
        while (found := self._stage(identity)) is not None:
            if found[0] == "Failed":
                raise RuntimeError(f"directory {identity} cannot be deleted: {found[1]}")
            self._pause(f"directory {identity} is still {found[0]}; delete the stack again")

    def _wait_until_active(self, identity: str) -> None:
        while True:
            stage, reason = self._stage(identity) or ("gone", "")
            if stage == "Active":
                return
            if stage in ("Failed", "Inoperable", "gone"):
                raise RuntimeError(f"directory {identity} is {stage}: {reason or 'no reason is given'}")
            self._pause(f"directory {identity} is still {stage}; check that its DNS servers answer from the network")

    def _stage(self, identity: str) -> tuple[str, str] | None:
        """Stage and reason, or None if the directory does not exist."""
        try:
            found = self._directories.describe_directories(DirectoryIds=[identity])["DirectoryDescriptions"]
        except self._directories.exceptions.EntityDoesNotExistException:
            return None
        live = [each for each in found if each["Stage"] != "Deleted"]
        return (live[0]["Stage"], live[0].get("StageReason", "")) if live else None

    def _pause(self, too_late: str) -> None:
        if time.monotonic() + _POLL_SECONDS > self._deadline:
            raise RuntimeError(too_late)
        self._sleep(_POLL_SECONDS)
