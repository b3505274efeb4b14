"""Rolls back a failed update with the requests that CloudFormation sends to custom resources."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services.cloudformation import stacks

from aws_rehearsal.emulator.patching import wrap

RollBack = Callable[..., Awaitable[None]]


def install() -> None:
    """Send custom resources back to their old properties, those too that had given another physical id meanwhile.

    CloudFormation sends an update from new to old, then deletes what the new id names; the emulator only deletes.
    https://github.com/aws/aws-cdk/pull/29581 lists the requests in order.
    """
    wrap(stacks, "_roll_back_operation", _sending_back)


def _sending_back(roll_back: RollBack) -> RollBack:
    async def sending_back(
        stack_name: str, stack_id: str, stack: dict[str, Any], operation: dict[str, Any], reason_override: str = ""
    ) -> None:
        before = (operation.get("previous_stack") or {}).get("_resources", {})
        for logical_id in operation["created"]:
            old, new = before.get(logical_id), stack["_resources"].get(logical_id)
            if old and new and _is_replaced_by_its_function(old, new):
                # A failure is an event of the stack; the replacement is deleted nevertheless.
                with contextlib.suppress(RuntimeError, TimeoutError, ValueError):
                    await _send_back(stack_id, stack_name, old, new)
        await roll_back(stack_name, stack_id, stack, operation, reason_override)

    return sending_back


def _is_replaced_by_its_function(old: dict[str, Any], new: dict[str, Any]) -> bool:
    custom = str(old["ResourceType"]).startswith("Custom::")
    return custom and bool(old["PhysicalResourceId"] != new["PhysicalResourceId"])


async def _send_back(stack_id: str, stack_name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    await stacks._revert_update(
        stack_id,
        stack_name,
        new["LogicalResourceId"],
        new["ResourceType"],
        new["PhysicalResourceId"],
        new["Properties"],
        old["Properties"],
        new["Attributes"],
        old,
    )
