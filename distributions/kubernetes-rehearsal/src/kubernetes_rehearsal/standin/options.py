"""How a request wants to be treated, and the time it is answered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


def _accept(found: dict[str, Any]) -> None:
    """Every content is allowed."""


@dataclass(frozen=True)
class Options:
    """How a request wants to be treated.

    :param strict: unknown fields are an error.
    :param manager: owner of the fields that are written.
    :param force: take fields from other owners.
    :param policy: the propagation policy for dependents of a deleted object.
    :param examine: called with each object before it is kept; raises where its content is not allowed.
    """

    dry_run: bool = False
    strict: bool = False
    manager: str = "unknown"
    force: bool = False
    policy: str = "Background"
    examine: Callable[[dict[str, Any]], None] = _accept


def now() -> str:
    """The time, as objects carry it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
