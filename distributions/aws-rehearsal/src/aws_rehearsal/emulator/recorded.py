"""Resources of which the emulator keeps the description only: the registry knows the type, the emulator does not."""

import re
import secrets
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from aws_rehearsal.emulator import schemas
from aws_rehearsal.emulator.provisioner import Created, Provisioner, Resource
from aws_rehearsal.emulator.schemas import Properties

_resources = AccountRegionScopedDict()
"""(type, physical id) to properties. The inventory finds it as it finds the emulator's own stores."""

_ID_PREFIXES = {
    "AWS::DirectoryService::MicrosoftAD": "d",
    "AWS::DirectoryService::SimpleAD": "d",
    "AWS::FSx::DataRepositoryAssociation": "dra",
    "AWS::FSx::FileSystem": "fs",
    "AWS::FSx::Snapshot": "fsvolsnap",
    "AWS::FSx::Volume": "fsvol",
}
"""Where other resources or people parse the id and its schema does not describe it."""


class Recorded(Provisioner):
    """One type of recorded resources."""

    def __init__(self, resource_type: str) -> None:
        self.type = resource_type

    def create(self, resource: Resource) -> Created:
        physical_id = self._identity(resource)
        if (self.type, physical_id) in _resources:
            raise ValueError(f"{self.type} {physical_id} already exists (HandlerErrorCode: AlreadyExists)")
        _resources[self.type, physical_id] = resource.properties
        return Created(physical_id)

    def update(self, physical_id: str, old: Properties, resource: Resource) -> None:
        _resources[self.type, physical_id] = resource.properties

    def delete(self, physical_id: str, properties: Properties) -> None:
        _resources.pop((self.type, physical_id), None)

    def _identity(self, resource: Resource) -> str:
        """What the registry names as identifier: given by the template, or handed out by the service."""
        parts = [
            schemas.value_at(resource.properties, path) or self._handed_out(path, resource)
            for path in schemas.identifiers(self.type, get_region())
        ]
        return "|".join(str(part) for part in parts) or resource.name("", max_length=128)

    def _handed_out(self, path: tuple[str, ...], resource: Resource) -> str:
        described: Any = schemas.attributes(self.type, get_region()).get(".".join(path)) or {}
        pattern = str(described.get("pattern", "")).removeprefix("^").removeprefix("(")
        prefix = _ID_PREFIXES.get(self.type) or (m[1] if (m := re.match(r"([a-z]{1,12})-", pattern)) else None)
        if prefix:
            return f"{prefix}-{secrets.token_hex(9)[:17]}"
        if self.type == "AWS::SSO::PermissionSet" and path[-1] == "PermissionSetArn":
            instance = str(resource.properties["InstanceArn"]).rpartition("/")[2]
            return f"arn:aws:sso:::permissionSet/{instance}/ps-{secrets.token_hex(8)}"
        if path[-1].lower().endswith("arn"):
            return arn(self.type, resource.name("Name", max_length=128))
        return resource.name("Name", max_length=128)


def arn(resource_type: str, id: str) -> str:
    """An ARN of the usual form for a resource of the type."""
    _, service, kind = resource_type.split("::")
    return f"arn:aws:{service.lower()}:{get_region()}:{get_account_id()}:{kind.lower()}/{id}"
