"""Retries for registries that throttle requests or have transient errors."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from delivery.mirror.errors import TransientError

ATTEMPTS = 6
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 120.0

T = TypeVar("T")


def with_retries(action: Callable[[], T]) -> T:
    """Run ``action``, and retry transient errors after 5, 10, 20... seconds with a jitter of 20 %.

    :raises MirrorError: the last transient error, or the first permanent one.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return action()
        except TransientError:
            time.sleep(min(FIRST_SECONDS * 2**attempt, LONGEST_SECONDS) * random.uniform(0.8, 1.2))
    return action()
