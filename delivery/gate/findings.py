"""What the judges say of a change."""

from dataclasses import dataclass
from enum import StrEnum

from delivery.gate.templates import Resource


class Verdict(StrEnum):
    """What a change does, the least first."""

    SAFE = "safe"
    INTERRUPTING = "interrupting"
    CONDITIONAL = "conditional"
    """It may replace the resource, which CloudFormation alone knows."""
    REPLACING = "replacing"
    WIDENING = "widening"
    DATA_LOSING = "data-losing"
    FAILING = "failing"
    """CloudFormation would refuse it. No approval helps."""


@dataclass(frozen=True, order=True)
class Finding:
    """One change with its verdict.

    :param resource: logical id, or a Kubernetes object as ``Kind/namespace/name``.
    :param path: construct path below the stack, for people.
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
    """What is to be said of a resource of a template."""
    return Finding(resource.stack, resource.path, resource.id, resource.type, verdict, what, why, stops)
