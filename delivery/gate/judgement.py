"""The judgement of a deployment: all findings of all judges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from delivery.assembly import Stack
from delivery.gate import (
    access,
    decisions,
    exports,
    held,
    kubernetes,
    network_access,
    pipelines,
    resources,
    skipped,
    taken,
)
from delivery.gate.changes import compare
from delivery.gate.findings import Finding
from delivery.gate.following import references_to, replacements
from delivery.gate.specification import Specification
from delivery.gate.templates import side


@dataclass(frozen=True)
class Judgement:
    """What a deployment would change.

    :param new: stacks that are not deployed yet, with the number of their resources.
    :param forgotten: deployed stacks that are no longer part of the account; a deployment does not touch them.
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

    :param before: templates that are deployed, by stack name. A stack without one is new as a whole, and safe.
    :param specification: Default: that of the installed CDK CLI.
    :param forgotten: templates of stacks that are deployed and no longer part of the account, by stack name.
    """
    stacks = tuple(stacks)
    known = specification or Specification.load()
    old, new = side(stacks, before), side(stacks)
    changes, ids = compare(old, new), {stack.name: stack.id for stack in stacks}
    replaced = replacements(changes.changed, references_to(old, new), known)
    found = [
        *resources.judge(old, new, changes, known),
        *access.judge(old, new),
        *decisions.longer_allow_lists(old, new),
        *network_access.judge(old, new),
        *kubernetes.judge(old, new),
        *pipelines.judge(old, new),
        *taken.judge(old, new, known),
        *exports.judge(old, new, replaced, forgotten or {}, ids),
        *held.judge(old, new, changes, replaced, forgotten or {}, ids),
        *skipped.judge(stacks, before, old, new, replaced),
    ]
    return Judgement(
        findings=tuple(sorted(set(found))),
        new={name: len(template.resources) for name, template in new.templates.items() if name not in old.templates},
        forgotten=tuple(sorted(forgotten or {})),
    )
