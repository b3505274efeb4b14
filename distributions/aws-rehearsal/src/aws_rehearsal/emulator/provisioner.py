"""Resource types that the emulator has an API for, but CloudFormation there does not know."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from ministack.core.responses import get_account_id, get_region
from ministack.services.cloudformation import provisioners

from aws_rehearsal.emulator.schemas import Properties
from aws_rehearsal.emulator.settings import endpoint


@dataclass(frozen=True)
class Resource:
    """A resource of a template, on its way into the emulator.

    ``properties`` are resolved: no reference is left in them.
    """

    stack: str
    logical_id: str
    properties: Properties

    def name(self, property: str, max_length: int = 64) -> str:
        """The name that the template gives, or one made as CloudFormation makes it."""
        generated: str = provisioners._physical_name(self.stack, self.logical_id, max_len=max_length)
        return str(self.properties.get(property) or generated)


@dataclass(frozen=True)
class Created:
    """What ``Ref`` and ``Fn::GetAtt`` answer for a resource."""

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Provisioner:
    """Creates, changes and deletes resources of one type through the emulator's own AWS API."""

    type: str
    """Resource type, such as ``AWS::EC2::EIP``."""

    def create(self, resource: Resource) -> Created:
        raise NotImplementedError

    def settle(self, physical_id: str, resource: Resource) -> None:
        """Calls that follow the creation. When one fails, the resource is deleted again."""

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        """Bring an existing resource to ``resource.properties``. A create-only property never differs here."""

    def delete(self, physical_id: str, properties: Properties) -> None:
        raise NotImplementedError


def client(service: str) -> Any:
    """A client of the emulator, in the account and region of the stack that is being worked on."""
    return client_of(service, get_account_id(), get_region())


@cache
def client_of(service: str, account: str, region: str) -> Any:
    """A client of the emulator, in an account and a region."""
    return boto3.Session().client(
        service,
        region_name=region,
        endpoint_url=endpoint(),
        aws_access_key_id=account,
        aws_secret_access_key="emulated",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=900, proxies={}),
    )


@contextlib.contextmanager
def absence_is_fine() -> Iterator[None]:
    """Deleting what is no longer there succeeds, as in CloudFormation."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if not any(word in code for word in ("NotFound", "NoSuch", "NotExist")):
            raise


def mentioned(properties: Properties, names: dict[str, str]) -> dict[str, Any]:
    """The API's parameters for those of the properties that the template sets: ``names`` maps property to parameter."""
    return {
        parameter: properties[name] for name, parameter in names.items() if properties.get(name) not in (None, "", [])
    }


def flag(value: Any) -> bool:
    """A boolean property, which templates also carry as a string."""
    return str(value).lower() == "true"


def tags(properties: Properties, name: str = "Tags") -> dict[str, str]:
    """The tags of a resource as key and value, without those that CloudFormation itself adds."""
    given = properties.get(name) or []
    pairs = given.items() if isinstance(given, dict) else [(tag["Key"], tag["Value"]) for tag in given]
    return {key: str(value) for key, value in pairs if not key.startswith("aws:")}


def camel_case(value: Any) -> Any:
    """A CloudFormation structure with the API's lower-case first letters."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: camel_case(item) for key, item in value.items()}
    return [camel_case(item) for item in value] if isinstance(value, list) else value
