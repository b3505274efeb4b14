"""The emulator's results for the workloads in its clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Proofs:
    """Lines of the report; all empty without real nodes.

    :param running: workloads whose programs ran.
    :param stored_only: workloads whose programs did not run, each with the reason.
    :param idle: workloads without pods, because they have no replicas or match no node.
    :param callers: service accounts whose pods called AWS, each with its role.
    :param unrestricted: namespaces that enforce no pod security level.
    :param replaced: restarts and repeated errors of pods that were replaced, and whose successors had none.
    :param findings: faults.
    """

    running: Sequence[str] = ()
    stored_only: Sequence[str] = ()
    idle: Sequence[str] = ()
    callers: Sequence[str] = ()
    unrestricted: Sequence[str] = ()
    replaced: Sequence[str] = ()
    findings: Sequence[str] = ()

    @classmethod
    def of(cls, clusters: Mapping[str, Mapping[str, Any]]) -> Self:
        """Read the emulator's results of each cluster."""
        return cls(
            [f"{name}: {place}: {took} s" for name, one in clusters.items() for place, took in one["running"].items()],
            [
                f"{name}: {place}: {what}"
                for name, one in clusters.items()
                for place, what in one["stored_only"].items()
            ],
            [f"{name}: {place}" for name, one in clusters.items() for place in one["idle"]],
            [f"{name}: {caller}" for name, one in clusters.items() for caller in one["callers"]],
            [f"{name}: {space}" for name, one in clusters.items() for space in one["unrestricted"]],
            [f"{name}: {restart}" for name, one in clusters.items() for restart in one["replaced"]],
            [f"{name}: {finding}" for name, one in clusters.items() for finding in one["findings"]],
        )
