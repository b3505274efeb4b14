"""What is protected from deletion cannot be deleted, by CloudFormation neither."""

from aws_rehearsal.emulator.provisioner import flag
from aws_rehearsal.emulator.schemas import Properties

_SWITCHES = ("DeletionProtection", "DeletionProtectionEnabled")


def refuse_if_protected(resource_type: str, physical_id: str, properties: Properties) -> None:
    """:raises ValueError: if the template switches the protection on."""
    for switch in _SWITCHES:
        if flag(properties.get(switch)) or properties.get(switch) == "ACTIVE":
            raise ValueError(
                f"{resource_type} {physical_id} cannot be deleted: {switch} is on; deploy it switched off first"
            )
