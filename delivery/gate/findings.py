"""Findings and verdicts of the gate."""

from dataclasses import dataclass
from enum import StrEnum

from delivery.gate.templates import Resource


class Verdict(StrEnum):
    """The effect of a change, from the least to the most serious."""

    SAFE = "safe"
    INTERRUPTING = "interrupting"
    CONDITIONAL = "conditional"
    """It may replace the resource, which only CloudFormation can determine."""
    REPLACING = "replacing"
    WIDENING = "widening"
    DATA_LOSING = "data-losing"
    UNJUDGED = "unjudged"
    """No table contains the type or the property."""
    FAILING = "failing"
    """AWS or the Kubernetes API refuses it, so it cannot be approved."""


@dataclass(frozen=True, order=True)
class Finding:
    """One change with its verdict.

    :param resource: logical id, or a Kubernetes object as ``Kind/namespace/name``.
    :param path: construct path within the stack, for display.
    :param what: what changes.
    :param why: the reason for the verdict.
    :param stops: whether it needs an approval.
    """

    stack: str
    path: str
    resource: str
    type: str
    verdict: Verdict
    what: str
    why: str = ""
    stops: bool = False


def finding(resource: Resource, verdict: Verdict, what: str, why: str = "", *, stops: bool = False) -> Finding:
    """A finding about a resource of a template."""
    return Finding(resource.stack, resource.path, resource.id, resource.type, verdict, what, why, stops)
