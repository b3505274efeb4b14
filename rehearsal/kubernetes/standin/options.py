"""How a request wants to be treated, and the time it is answered."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Options:
    """How a request wants to be treated.

    :param strict: unknown fields are an error.
    :param manager: owner of the fields that are written.
    :param force: take fields from other owners.
    :param policy: what becomes of the dependents of a deleted object.
    """

    dry_run: bool = False
    strict: bool = False
    manager: str = "unknown"
    force: bool = False
    policy: str = "Background"


def now() -> str:
    """The time, as objects carry it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
