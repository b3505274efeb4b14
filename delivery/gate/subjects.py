"""The subject of each property of each resource type: the tables in ``subjects/``, proved complete by a test."""

import functools
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from delivery.gate.changes import Place
from delivery.gate.findings import Verdict
from delivery.gate.specification import Replacement, Specification

_TABLES = Path(__file__).with_name("subjects")
_COSMETIC = re.compile(r"(.*Tags|Tags|.*Description|Description|Comment|DisplayName)")
_BY_CLOUDFORMATION = frozenset({"ServiceToken", "(condition)"})
_NAME = re.compile(r"([^.\[\]]+)|\[([^\]]+)\]")


class Subject(StrEnum):
    """The subject of a property, or of a resource as a whole; ``subjects/README.md`` explains each."""

    ACCESS = "access"
    EXPOSURE = "exposure"
    PROTECTION = "protection"
    RECORD = "record"
    DATA = "data"
    CAPACITY = "capacity"
    OPERATION = "operation"
    COSMETIC = "cosmetic"
    IDENTITY = "identity"
    COMPARED = "compared"


CHANGED = {
    Subject.ACCESS: (Verdict.WIDENING, "it controls access, and the direction of the change is unknown"),
    Subject.EXPOSURE: (Verdict.WIDENING, "it controls exposure, and the direction of the change is unknown"),
    Subject.PROTECTION: (Verdict.WIDENING, "it is a protection, which the change may weaken"),
    Subject.RECORD: (Verdict.DATA_LOSING, "it records or reports events, and the change may stop that"),
    Subject.DATA: (Verdict.DATA_LOSING, "it controls which data is kept, and the change may keep less"),
}
"""Verdict of a changed property whose values no rule compares, and the reason. Other subjects are safe."""

ADDED = {
    Subject.ACCESS: (Verdict.WIDENING, "it grants more permissions"),
    Subject.EXPOSURE: (Verdict.WIDENING, "it exposes more"),
}
"""Verdict of a new resource by its subject. Other subjects are safe."""

REMOVED = {
    Subject.PROTECTION: (Verdict.WIDENING, "its protection ends"),
    Subject.RECORD: (Verdict.DATA_LOSING, "it no longer records or reports events"),
    Subject.DATA: (Verdict.DATA_LOSING, "its data is no longer part of the platform"),
}
"""Verdict of a removed resource by its subject. Other subjects are safe."""


@dataclass(frozen=True)
class _Entry:
    names: tuple[str, ...]
    subject: Subject

    def fits(self, place: Place) -> bool:
        return len(self.names) <= len(place) and all(
            _fits(one, other) for one, other in zip(self.names, place, strict=False)
        )


@dataclass(frozen=True)
class _Type:
    whole: Subject
    of: str
    entries: tuple[_Entry, ...]


def types() -> frozenset[str]:
    """All types in the tables."""
    return frozenset(_types())


def subject_of(type: str) -> Subject | None:
    """The subject of a resource type as a whole, or None for an unknown type."""
    known = _types().get(type)
    return known.whole if known else None


def belongs_to(type: str) -> str:
    """The property that refers to the resource which a type exposes or protects, or nothing."""
    known = _types().get(type)
    return known.of if known else ""


def subject_at(type: str, place: Place, specification: Specification) -> Subject | None:
    """The subject of a property, or None if no table contains it.

    :param place: names of properties without positions in lists.
    """
    known = _types().get(type)
    if not known:
        return None
    fitting = [one for one in known.entries if one.fits(place)]
    if fitting:
        return max(fitting, key=lambda one: (len(one.names), "*" not in one.names[-1], len(one.names[-1]))).subject
    if place[:1] and place[0] in _BY_CLOUDFORMATION:
        return Subject.IDENTITY
    if any(_COSMETIC.fullmatch(name) for name in place[:1]):
        return Subject.COSMETIC
    if specification.knows(type, place[:1]) and specification.replacement(type, place[:1]) != Replacement.NO:
        return Subject.IDENTITY
    return None


def cosmetic_places(type: str) -> tuple[Place, ...]:
    """The places of a type that a table calls cosmetic."""
    known = _types().get(type)
    return tuple(one.names for one in known.entries if one.subject == Subject.COSMETIC) if known else ()


@functools.cache
def entries() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Type and path of every line of the tables."""
    return tuple((type, one.names) for type, known in _types().items() for one in known.entries)


def names_in(path: str) -> tuple[str, ...]:
    """The names in a path such as ``A.B[c.d]``."""
    return tuple(plain or key for plain, key in _NAME.findall(path))


@functools.cache
def _types() -> dict[str, _Type]:
    found: dict[str, _Type] = {}
    for path in sorted(_TABLES.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for type, body in table.items():
            if type in found:
                raise ValueError(f"{path.name}: {type} is in two tables; keep one")
            found[type] = _type(body)
    return found


def _type(body: dict[str, Any]) -> _Type:
    named = {subject: paths for subject, paths in body.items() if subject not in ("is", "of")}
    listed = ((Subject(subject), path) for subject, paths in named.items() for path in paths.split())
    return _Type(
        Subject(body["is"]), body.get("of", ""), tuple(_Entry(names_in(path), subject) for subject, path in listed)
    )


def _fits(pattern: str, name: str) -> bool:
    if "*" not in pattern:
        return pattern == name
    return bool(re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name))
