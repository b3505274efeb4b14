"""What a rehearsal asks of a cloud assembly as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from delivery.assembly import Stack, copy_with_templates, read_assembly


@dataclass(frozen=True)
class Assembly:
    """The result of one synthesis, with the assemblies of its stages."""

    folder: Path

    @cached_property
    def stacks(self) -> tuple[Stack, ...]:
        """Every stack, in the order of the manifests."""
        return read_assembly(self.folder)

    def regions(self) -> list[str]:
        """Every region that a stack lies in, sorted."""
        return sorted({stack.region for stack in self.stacks})

    def with_templates(self, templates: Mapping[str, Mapping[str, Any]], *, folder: Path) -> "Assembly":
        """A copy of this assembly in a folder, with other templates for some of its stacks, by stack id."""
        copy_with_templates(self.folder, templates, folder)
        return Assembly(folder)


def size(stack: Stack) -> int:
    """How many resources the stack has."""
    return len(stack.template.get("Resources", {}))
