"""Waiting for registries that limit their callers or are in trouble."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from delivery.mirror.errors import PassingError

ATTEMPTS = 6
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 120.0

T = TypeVar("T")


def patiently(action: Callable[[], T]) -> T:
    """Do ``action``, again after 5, 10, 20... seconds, give or take a fifth, while the registry asks for patience.

    :raises MirrorError: the last one, or the first that waiting does not mend.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return action()
        except PassingError:
            time.sleep(min(FIRST_SECONDS * 2**attempt, LONGEST_SECONDS) * random.uniform(0.8, 1.2))
    return action()
