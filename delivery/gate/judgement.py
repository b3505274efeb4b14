"""Puts the judges together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from delivery.assembly import Stack
from delivery.gate import access, exports, kubernetes, network_access, resources
from delivery.gate.changes import compare
from delivery.gate.findings import Finding
from delivery.gate.specification import Specification
from delivery.gate.templates import side


@dataclass(frozen=True)
class Judgement:
    """What a deployment would change.

    :param new: stacks that are not deployed, with how many resources each would have.
    :param forgotten: stacks that are deployed, and that a deployment would leave as they are.
    """

    findings: tuple[Finding, ...]
    new: dict[str, int]
    forgotten: tuple[str, ...] = ()


def judge(
    stacks: Iterable[Stack],
    before: Mapping[str, Mapping[str, Any]],
    specification: Specification | None = None,
    *,
    forgotten: Mapping[str, Mapping[str, Any]] | None = None,
) -> Judgement:
    """Judge what the deployment of an account's stacks would change.

    :param before: templates that are deployed, by stack name. Everything in a stack without one is new, and safe.
    :param specification: Default: that of the installed CDK CLI.
    :param forgotten: templates of stacks that are deployed and no longer part of the account, by stack name.
    """
    stacks = tuple(stacks)
    known = specification or Specification.load()
    old, new = side(stacks, before), side(stacks)
    found = [
        *resources.judge(old, new, compare(old, new), known),
        *access.judge(old, new),
        *network_access.judge(old, new),
        *kubernetes.judge(old, new),
        *exports.judge(old, new, forgotten or {}),
    ]
    return Judgement(
        findings=tuple(sorted(set(found))),
        new={name: len(template.resources) for name, template in new.templates.items() if name not in old.templates},
        forgotten=tuple(sorted(forgotten or {})),
    )
