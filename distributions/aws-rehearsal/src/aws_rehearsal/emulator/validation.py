"""Validates every resource against the registry's schema before it is provisioned, as CloudFormation does."""

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_region
from ministack.services.cloudformation import provisioners

from aws_rehearsal.emulator import schemas
from aws_rehearsal.emulator.patching import wrap
from aws_rehearsal.emulator.schemas import Properties

_WITHOUT_SCHEMA = ("AWS::CloudFormation::", "AWS::CDK::")

AddTags = Callable[[str, Properties, Any, str, str, str], Properties]


def install() -> None:
    """Check where properties are resolved for good, and before the tags of the stack join them."""
    wrap(provisioners, "_with_stack_tags", _checking)


def _checking(add_tags: AddTags) -> AddTags:
    def checking(
        resource_type: str, properties: Properties, tags: Any, stack: str, stack_id: str, logical_id: str
    ) -> Properties:
        if resource_type.startswith("AWS::") and not resource_type.startswith(_WITHOUT_SCHEMA):
            found = schemas.violations(resource_type, get_region(), properties)
            if found:
                # The exception's text becomes the reason of the resource's failure.
                raise ValueError(
                    f"Properties validation failed for resource {logical_id} with message: [{', '.join(sorted(found))}]"
                )
        return add_tags(resource_type, properties, tags, stack, stack_id, logical_id)

    return checking
