"""Reads a template for the count of its resources."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class Template:
    """A template and its environment.

    :param after: stacks that must be deployed before it.
    """

    stack: str
    region: str
    body: Mapping[str, Any]
    after: tuple[str, ...] = ()

    def resources(self, *types: str) -> Iterator[tuple[str, Resource]]:
        """Logical id and properties of each resource of these types."""
        for name, resource in self.body.get("Resources", {}).items():
            if resource["Type"] in types:
                yield name, resource.get("Properties", {})
