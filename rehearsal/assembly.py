"""A cloud assembly, as the rehearsal uses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from delivery.assembly import Stack, copy_with_templates, read_assembly
from rehearsal.errors import RehearsalError


@dataclass(frozen=True)
class Assembly:
    """The result of one synthesis, with the assemblies of its stages.

    :param selected: ids of the stacks to rehearse, with those that they depend on. Default: every stack.
    """

    folder: Path
    selected: tuple[str, ...] = ()

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """The stacks to rehearse, in the order of the manifests.

        :raises RehearsalError: if a selected stack does not exist.
        """
        every = read_assembly(self.folder)
        if not self.selected:
            return every
        by_id = {stack.id: stack for stack in every}
        if unknown := [id for id in self.selected if id not in by_id]:
            raise RehearsalError(f"{', '.join(unknown)}: no such stack; there are {', '.join(by_id)}")
        needed: set[str] = set()
        waiting = list(self.selected)
        while waiting:
            if (id := waiting.pop()) not in needed:
                needed.add(id)
                waiting += by_id[id].dependencies
        return tuple(stack for stack in every if stack.id in needed)

    def regions(self) -> list[str]:
        """The regions of all stacks, sorted."""
        return sorted({stack.region for stack in self.stacks})

    def with_templates(self, templates: Mapping[str, Mapping[str, Any]], *, folder: Path) -> "Assembly":
        """A copy of this assembly in a folder, with different templates for some stacks, by stack id."""
        copy_with_templates(self.folder, templates, folder)
        return Assembly(folder, self.selected)


def size(stack: Stack) -> int:
    """The number of resources in the stack."""
    return len(stack.template.get("Resources", {}))
