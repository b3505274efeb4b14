"""Approvals of changes that the gate would stop."""

import datetime
from pathlib import Path
from typing import Literal

from config.loader import load
from config.section import Section, key

APPROVALS = Path(__file__).parent / "approvals.toml"

Change = Literal["interrupting", "conditional", "replacing", "widening", "data-losing", "unjudged"]


class Approval(Section):
    """One change of one resource."""

    account: str = key("Name of the account file, or '*' for every account.", min_length=1)
    stack: str = key("Stack without the account's name, such as 'Metadata'.", min_length=1)
    resource: str = key("Construct path, logical id or Kubernetes object, as the gate names it.", min_length=1)
    change: Change = key("The verdict that is approved.")
    reason: str = key("Why it may happen, and who answers for it.", min_length=10)
    expires: datetime.date = key("Last day of the approval, such as 2027-01-31.")


class Approvals(Section):
    """The whole file."""

    approval: tuple[Approval, ...] = key("Approved changes, each a table [[approval]].", default=())


def load_approvals(path: Path = APPROVALS) -> tuple[Approval, ...]:
    """Read and check the file of approvals.

    :raises ConfigError: with every mistake of the file, one line each.
    """
    return load(path, Approvals).approval
