"""Which release number a change of the interface needs, by https://semver.org."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from releasing.api.facts import Facts

Version = tuple[int, int, int]


class Level(IntEnum):
    """The effect of a change on users who upgrade: invisible, additional, or incompatible."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


@dataclass(frozen=True)
class Change:
    """One change, in words."""

    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level.name.lower()}: {self.text}"


def compare(before: Facts, now: Facts) -> list[Change]:
    """The changes from one interface to the other, those that ask most first."""
    found = [*_gone(before, now), *_new(before, now), *_changed(before, now)]
    return sorted(found, key=lambda change: (-change.level, change.text))


def needed(before: Version, level: Level) -> Version:
    """The lowest version for a change of ``level``.

    Before 1.0.0 the minor number has the role of the major and the patch number that of the minor, as in ``~=0.1.0``.
    """
    major, minor, patch = before
    if level is Level.PATCH:
        return before
    if major == 0:
        return (0, minor + 1, 0) if level is Level.MAJOR else (0, minor, patch + 1)
    return (major + 1, 0, 0) if level is Level.MAJOR else (major, minor + 1, 0)


def parse(version: str) -> Version:
    """Three numbers.

    :raises ValueError: for anything else; a release has no other parts.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"version must be three numbers such as 1.2.3, got {version!r}")
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


def _gone(before: Facts, now: Facts) -> Iterator[Change]:
    for fact in before.keys() - now.keys():
        owner = _owner(fact)
        if owner in before and owner not in now:
            continue  # reported with its owner
        if ": " in fact:
            yield Change(
                Level.MAJOR, f"{fact}: {before[fact]} that holds data is gone or has another id; it is left behind"
            )
        else:
            yield Change(Level.MAJOR, f"{fact}: removed or renamed")


def _new(before: Facts, now: Facts) -> Iterator[Change]:
    for fact in now.keys() - before.keys():
        owner = _owner(fact)
        if owner in now and owner not in before:
            continue
        if fact.endswith(")") and not fact.endswith("()") and " = " not in now[fact]:
            yield Change(Level.MAJOR, f"{fact}: a new argument that must be given")
        else:
            yield Change(Level.MINOR, f"{fact}: added")


def _changed(before: Facts, now: Facts) -> Iterator[Change]:
    for fact in before.keys() & now.keys():
        if before[fact] == now[fact]:
            continue
        told = f"{fact}: was {before[fact]!r}, is {now[fact]!r}"
        if fact.endswith(")") and not fact.endswith("()"):
            level = _level_of_argument(before[fact], now[fact])
        elif ": " in fact or "." not in fact:
            level = Level.MAJOR
        else:
            level = _level_of_result(before[fact], now[fact])
        yield Change(level, told)


def _level_of_argument(before: str, now: str) -> Level:
    """Minor if all former values are still accepted and the default has the same meaning; otherwise major."""
    place_before, type_before, default_before = _parts(before)
    place_now, type_now, default_now = _parts(now)
    same_place = place_before == place_now or not place_before
    same_default = default_before in ("", default_now)
    return Level.MINOR if same_place and same_default and type_before <= type_now else Level.MAJOR


def _level_of_result(before: str, now: str) -> Level:
    """Minor if the new type is contained in the old one, so that callers need no change; otherwise major."""
    if before == "attribute" or now == "attribute":
        return Level.PATCH  # a type annotation was added or removed
    (_, type_before, value_before), (_, type_now, value_now) = _parts(before), _parts(now)
    return Level.MINOR if type_now <= type_before and value_before == value_now else Level.MAJOR


def _parts(fact: str) -> tuple[str, frozenset[str], str]:
    """Place, the alternatives of the type, and default; empty if there is none."""
    place, rest = re.fullmatch(r"(\d+\. )?(.*)", fact, re.DOTALL).groups("")  # type: ignore[union-attr]
    type_, _, default = rest.partition(" = ")
    if choices := re.fullmatch(r"Literal\[(.+)\]", type_):
        return place, frozenset(choices[1].split(", ")), default
    return place, frozenset(_alternatives(type_)), default


def _alternatives(type_: str) -> Iterator[str]:
    """``Sequence[A | B] | None`` as ``Sequence[A]``, ``Sequence[B]`` and ``None``."""
    for one in re.findall(r"(?:[^|\[]|\[(?:[^\[\]]|\[[^\]]*\])*\])+", type_):
        one = one.strip()
        if items := re.fullmatch(r"Sequence\[(.+)\]", one):
            yield from (f"Sequence[{item}]" for item in _alternatives(items[1]))
        else:
            yield one


def _owner(fact: str) -> str:
    """The fact that this one belongs to: arguments to their method or class, everything else to the class."""
    if fact.endswith("()"):
        return fact.partition(".")[0]
    if fact.endswith(")"):
        called = fact.partition("(")[0]
        return f"{called}()" if "." in called else called
    return re.split(r"[.:]", fact)[0] if re.search(r"[.:]", fact) else ""
