"""Known escalation paths, each with its reason: ``data/escalation.toml``."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from assurance.permissions.conditions import like
from assurance.permissions.escalation import Path as Steps
from assurance.permissions.escalation import general
from assurance.permissions.world import World

FILE = Path(__file__).with_name("data") / "escalation.toml"


@dataclass(frozen=True)
class Known:
    """An accepted path."""

    start: str
    target: str
    via: str
    reason: str

    def covers(self, world: World, path: Steps) -> bool:
        start, target = general(world, path.start), general(world, path.target)
        return like(start, self.start) and target == self.target and path.via == self.via


@cache
def known(file: Path = FILE) -> tuple[Known, ...]:
    """The record."""
    found = tomllib.loads(file.read_text(encoding="utf-8"))["path"]
    return tuple(Known(one["start"], one["target"], one["via"], one["reason"]) for one in found)


def judge(world: World, paths: Iterable[Steps]) -> Iterator[str]:
    """Paths that are not accepted, and accepted paths that no longer exist."""
    met: set[Known] = set()
    told: set[tuple[str, str, str]] = set()
    for path in paths:
        covering = [one for one in known() if one.covers(world, path)]
        met.update(covering)
        name = (general(world, path.start), general(world, path.target), path.via)
        if not covering and name not in told:
            told.add(name)
            yield f"{name[0]} reaches {name[1]} ({path.via}): {path}; close it, or record it in {FILE.name}"
    for one in known():
        if one not in met:
            yield f"{one.start} to {one.target} ({one.via}): no such path any more; remove it from {FILE.name}"
