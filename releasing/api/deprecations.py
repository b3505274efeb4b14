"""Deprecated names: marked with ``typing_extensions.deprecated`` (PEP 702), listed in the changelog, removed later.

Users of the name see the message: ``DataBucket.grant: use grant_read; removed in 2.0``.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from releasing.api.changes import parse

_MESSAGE = re.compile(r"(?P<name>\S+): use (?P<instead>.+); removed in (?P<removed>\d+\.\d+)")


@dataclass(frozen=True)
class Deprecation:
    """One mark.

    :param place: file and line.
    :param message: what a user reads.
    """

    place: str
    message: str

    def problems(self, *, changelog: str, version: str) -> Iterator[str]:
        """What is wrong with it in this version, a line each."""
        told = _MESSAGE.fullmatch(self.message)
        if not told:
            yield f"{self.place}: the message must be 'Name: use ...; removed in X.Y', got {self.message!r}"
            return
        name, removed = told["name"], told["removed"]
        since = _deprecated_in(changelog, name)
        if since is None:
            yield f"{self.place}: {name} is not under Deprecated in CHANGELOG.md; add it"
        elif parse(f"{removed}.0") <= parse(f"{'.'.join(since.split('.')[:2])}.0"):
            yield f"{self.place}: {name} is deprecated since {since}; let it stay for a minor release, got {removed}"
        if parse(version) >= parse(f"{removed}.0"):
            yield f"{self.place}: {name} was to be removed in {removed}, this is {version}; remove it"


def deprecations(sources: Path) -> list[Deprecation]:
    """Every mark below a folder."""
    return [found for path in sorted(sources.rglob("*.py")) for found in _of_module(path, path.relative_to(sources))]


def _of_module(path: Path, place: Path) -> Iterator[Deprecation]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for mark in getattr(node, "decorator_list", []):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func).rpartition(".")[2] == "deprecated":
                message = mark.args[0].value if mark.args and isinstance(mark.args[0], ast.Constant) else None
                yield Deprecation(f"{place}:{mark.lineno}", str(message or ast.unparse(mark)))


def _deprecated_in(changelog: str, name: str) -> str | None:
    """The version whose section Deprecated names it."""
    for version, section in re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE):
        for kind, lines in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", section, re.DOTALL | re.MULTILINE):
            if kind == "Deprecated" and f"`{name}`" in lines:
                return str(version)
    return None
