"""The table at the end, and what it is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.assembly import Assembly, size
from rehearsal.leftovers import Leftovers

_NOT_PROVED = (
    "permissions (IAM, organization and key policies), service quotas, network paths, timing, and everything that "
    "runs in pods or on nodes"
)


@dataclass(frozen=True)
class Timing:
    """Seconds by stack id."""

    deploy: Mapping[str, float]
    update: Mapping[str, float]
    destroy: Mapping[str, float]


def table(assembly: Assembly, state: Mapping[str, Any], timing: Timing) -> str:
    """One line a stack: how many resources, how many of them real, and how long it took."""
    rows = [
        (
            stack.id,
            str(size(stack)),
            str(len(stack.resources(*state["recorded"]))),
            _seconds(timing.deploy, stack.id),
            _seconds(timing.update, stack.id),
            _seconds(timing.destroy, stack.id),
        )
        for stack in assembly.stacks
    ]
    total = [str(sum(int(row[column]) for row in rows)) for column in (1, 2)]
    head = ("stack", "resources", "recorded only", "deploy s", "update s", "destroy s")
    lines = [head, *rows, ("all", *total, "", "", "")]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def remarks(state: Mapping[str, Any], leftovers: Leftovers | None) -> str:
    """What was real, what was not, what stays, what this cannot prove."""
    ignored = [f"{name}: {', '.join(properties)}" for name, properties in state["ignored"].items()]
    parts = [
        f"Kubernetes API: {state['kubernetes_api']}",
        _list("Recorded only, checked against CloudFormation's schema", state["recorded"]),
        _list("Replaced by stand-ins, which bring definitions and names but run nothing", state["stand_ins"]),
        _list("Properties without effect here; only tests of the templates speak for them", ignored),
    ]
    if leftovers:
        parts.append(_list("Kept on purpose by the templates", leftovers.kept))
        parts.append(_list("Log groups that Lambda made by itself, which stay on AWS too", leftovers.made_by_lambda))
    parts.append(f"Not proved: {_NOT_PROVED}; see docs/rehearsal.md")
    return "\n".join(part for part in parts if part)


def _list(title: str, items: Sequence[str]) -> str:
    return "\n  ".join([f"{title}:", *items]) if items else ""


def _seconds(times: Mapping[str, float], id: str) -> str:
    return f"{times[id]:.1f}" if id in times else "-"
