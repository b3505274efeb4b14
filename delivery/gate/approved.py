"""Matches findings with approvals."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.approvals import Approval
from delivery.gate.findings import Finding


@dataclass(frozen=True)
class Decision:
    """The result of matching findings with approvals.

    :param stopped: findings without approval.
    :param approved: findings that an approval covers, with its reason.
    :param remarks: lines about approvals that should be removed.
    """

    stopped: tuple[Finding, ...]
    approved: tuple[tuple[Finding, str], ...]
    remarks: tuple[str, ...]


def decide(account: str, findings: Iterable[Finding], approvals: Sequence[Approval], today: datetime.date) -> Decision:
    """Match the findings that need approval with the approvals for the account."""
    valid = [one for one in approvals if one.account in (account, "*") and one.expires >= today]
    stopped: list[Finding] = []
    approved: list[tuple[Finding, str]] = []
    used: set[Approval] = set()
    for finding in (one for one in findings if one.stops):
        matching = [one for one in valid if _matches(one, finding, account)]
        used.update(matching)
        if matching:
            approved.append((finding, matching[0].reason))
        else:
            stopped.append(finding)
    remarks = [
        f"config/approvals.toml: {_name(one)}: {_why(one, today)}; remove it"
        for one in approvals
        if one.account in (account, "*") and one not in used and (one.account == account or one.expires < today)
    ]
    return Decision(tuple(stopped), tuple(approved), tuple(remarks))


def snippet(account: str, finding: Finding) -> str:
    """The lines that approve a finding, without the reason and the expiry date."""
    return "\n".join(
        (
            "[[approval]]",
            f'account = "{account}"',
            f'stack = "{stack_of(account, finding)}"',
            f'resource = "{finding.resource if "/" in finding.resource else finding.path}"',
            f'change = "{finding.verdict}"',
            'reason = "..."',
            "expires = ...",
        )
    )


def stack_of(account: str, finding: Finding) -> str:
    """The name of a finding's stack without the account's prefix, which is the same in every account."""
    return finding.stack.removeprefix(f"{account}-")


def _matches(approval: Approval, finding: Finding, account: str) -> bool:
    return (
        approval.stack == stack_of(account, finding)
        and approval.resource in (finding.path, finding.resource)
        and approval.change == finding.verdict
    )


def _name(approval: Approval) -> str:
    return f"{approval.account} {approval.stack} {approval.resource} {approval.change}"


def _why(approval: Approval, today: datetime.date) -> str:
    if approval.expires < today:
        return f"expired on {approval.expires}"
    return "matches no current change"
