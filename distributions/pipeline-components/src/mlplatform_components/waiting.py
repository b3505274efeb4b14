"""Bounded waits."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from mlplatform_components.errors import ComponentError, TimedOut

State = TypeVar("State")


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to look.

    :param seconds: when to give up.
    :param interval: seconds between two looks. Default: 30.
    :param clock: seconds of a clock that never goes back. Default: that of the machine.
    :param sleep: waits for a number of seconds. Default: that of the machine.
    :raises ComponentError: for a time that is not positive.
    """

    seconds: float
    interval: float = 30
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        for name in ("seconds", "interval"):
            if getattr(self, name) <= 0:
                raise ComponentError(f"{name}: must be more than 0, got {getattr(self, name)}; give seconds")

    def until(self, read: Callable[[], State], done: Callable[[State], bool], what: str) -> State:
        """Look until ``done``, and return what was read then.

        :param what: is awaited, for the message, such as ``cluster j-1 to start``.
        :raises TimedOut: if that takes longer than ``seconds``.
        """
        deadline = self.clock() + self.seconds
        while not done(state := read()):
            if self.clock() >= deadline:
                last = f"; the last state was {state}" if isinstance(state, str) else ""
                raise TimedOut(f"waited {self.seconds:g} s for {what}{last}")
            self.sleep(min(self.interval, max(deadline - self.clock(), 0.001)))
        return state

    def until_or_cancel(
        self, read: Callable[[], State], done: Callable[[State], bool], what: str, cancel: Callable[[], object]
    ) -> State:
        """The same for work of another service, which is cancelled if anything else ends the wait.

        :param cancel: cancels the work; what ended the wait is reported, even if this fails.
        :raises TimedOut: if that takes longer than ``seconds``.
        """
        try:
            return self.until(read, done, what)
        except BaseException:
            with suppress(Exception):
                cancel()
            raise
