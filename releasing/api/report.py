"""The committed report: the interface as it was when its version was released."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from releasing.api.changes import Change, Level, compare, needed, parse
from releasing.api.facts import ROOT, Facts, library_facts

REPORT = ROOT / "constructs" / "api.json"
PROJECT = ROOT / "constructs" / "pyproject.toml"


@dataclass(frozen=True)
class Report:
    """What a version offers.

    :param version: three numbers.
    """

    version: str
    facts: Facts

    @classmethod
    def committed(cls, path: Path = REPORT) -> Self:
        """The report of the newest release. Before the first there is none, and everything is new."""
        if not path.exists():
            return cls("0.0.0", {})
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["version"], content["interface"])

    @classmethod
    def of_sources(cls) -> Self:
        """What the sources offer now, under the version of the project file."""
        return cls(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"], library_facts())

    def write(self, path: Path = REPORT) -> None:
        """One fact a line, so that a difference shows what changed."""
        content = {"version": self.version, "interface": dict(sorted(self.facts.items()))}
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def changes_since(self, released: Self) -> list[Change]:
        """What changed, and how much of a change each is."""
        return compare(released.facts, self.facts)

    def refusal(self, released: Self) -> str | None:
        """Why these changes may not go out under this version, and what to do; None when they may."""
        changes = self.changes_since(released)
        level = max((change.level for change in changes), default=Level.PATCH)
        lowest = needed(parse(released.version), level)
        if parse(self.version) >= lowest:
            return None
        number = ".".join(map(str, lowest))
        told = "\n".join(f"  {change}" for change in changes)
        return (
            f"constructs/pyproject.toml: version must be {number} or later, got {self.version}; "
            f"since {released.version} there is a {level.name.lower()} change:\n{told}"
        )
