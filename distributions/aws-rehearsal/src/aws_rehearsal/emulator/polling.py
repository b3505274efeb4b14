"""Delays responses about a stack's status until it is complete.

The CDK CLI polls a stack's status every five seconds, so a stack of one second takes five. A response that is delayed
until the status changes takes only the stack's own time.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import cloudformation

from aws_rehearsal.emulator.patching import wrap

HOLD_SECONDS = 4.0
"""Less than the time between two questions, so that progress still arrives."""
_PAUSE_SECONDS = 0.1
_IN_PROGRESS = re.compile(rb"<StackStatus>(?!REVIEW)\w+_IN_PROGRESS</StackStatus>")
"""A stack in review waits for its change set, not for resources."""

Handle = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[tuple[int, dict[str, str], Any]]]


def install() -> None:
    """Hold ``DescribeStacks`` back while the stack is in progress."""
    wrap(cloudformation, "handle_request", _patient)


def _patient(handle: Handle) -> Handle:
    async def patient(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> tuple[int, dict[str, str], Any]:
        answer = await handle(method, path, headers, body, query)
        if b"Action=DescribeStacks&" in body + b"&" and b"StackName=" in body:
            until = time.monotonic() + HOLD_SECONDS
            while _IN_PROGRESS.search(_bytes(answer[2])) and time.monotonic() < until:
                await asyncio.sleep(_PAUSE_SECONDS)
                answer = await handle(method, path, headers, body, query)
        return answer

    return patient


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)
