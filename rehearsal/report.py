"""The report at the end of a rehearsal, including its limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.assembly import Assembly, size
from rehearsal.leftovers import Leftovers
from rehearsal.proofs import Proofs

_NOT_PROVED = (
    "permissions of AWS services and key policies (docs/permissions.md lists what is proved on the templates), "
    "service quotas, network paths, timing"
)
_NOT_RUN = "everything that runs in pods or on nodes"
_STORED_ONLY = "workloads that are stored only"


@dataclass(frozen=True)
class Timing:
    """Seconds by stack id."""

    deploy: Mapping[str, float]
    update: Mapping[str, float]
    destroy: Mapping[str, float]


def table(assembly: Assembly, state: Mapping[str, Any], timing: Timing) -> str:
    """One line for each stack: the number of resources and of real ones among them, and the duration."""
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


def clusters(state: Mapping[str, Any]) -> str:
    """Which Kubernetes is behind the clusters, and what the machine lacks for real nodes where it cannot run them."""
    lacks = ", ".join(state["lacks_for_nodes"])
    return "; ".join(
        [state["kubernetes_api"], *([f"no real nodes, because this machine lacks {lacks}"] if lacks else [])]
    )


def remarks(
    state: Mapping[str, Any], leftovers: Leftovers | None, proofs: Proofs, permissions: Sequence[str] = ()
) -> str:
    """What was real, simulated, retained, and cannot be proved."""
    not_proved = (
        [_NOT_PROVED]
        if proofs.running and not proofs.stored_only
        else [
            _NOT_PROVED,
            _STORED_ONLY if proofs.running else _NOT_RUN,
        ]
    )
    ignored = [f"{name}: {', '.join(properties)}" for name, properties in state["ignored"].items()]
    parts = [
        f"Kubernetes API: {clusters(state)}",
        _list("Permissions of roles", permissions),
        _list("Recorded only, validated against CloudFormation's schema", state["recorded"]),
        _list("Replaced by stand-ins, which create definitions and names but run nothing", state["stand_ins"]),
        _list("Helm charts and EKS add-ons whose programs ran, from Go modules", state["built"]),
        _list("Ran on real nodes, with the seconds until each was available", proofs.running),
        _list("Stored only, with what is unavailable; a stand-in ran, or nothing", proofs.stored_only),
        _list("Without pods, because they have no replicas or match no node", proofs.idle),
        _list(
            "Restarted or repeated an error on this busy machine, and not after their pods were replaced",
            proofs.replaced,
        ),
        _list("Called AWS from pods, each as its own role and denied what the role does not grant", proofs.callers),
        _list("Namespaces that enforce no pod security level", proofs.unrestricted),
        _list("Properties without effect in the emulator; only tests of the templates cover them", ignored),
    ]
    if leftovers:
        parts.append(_list("Retained by the templates", leftovers.kept))
        parts.append(_list("Log groups that Lambda created itself, which also remain on AWS", leftovers.made_by_lambda))
    parts.append(f"Not proved: {', and '.join(not_proved)}; see docs/rehearsal.md")
    return "\n".join(part for part in parts if part)


def _list(title: str, items: Sequence[str]) -> str:
    return "\n  ".join([f"{title}:", *items]) if items else ""


def _seconds(times: Mapping[str, float], id: str) -> str:
    return f"{times[id]:.1f}" if id in times else "-"
