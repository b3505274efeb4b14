"""The subjects of Kubernetes kinds: the table in ``kinds.toml``."""

import functools
import tomllib
from pathlib import Path
from typing import Any

from delivery.gate.changes import Place

_TABLE = Path(__file__).with_name("kinds.toml")


def subject_of(kind: str) -> str:
    """The subject of a kind, as in ``subjects/README.md``, or None for an unknown kind."""
    return _kinds().get(kind, "")


def subject_at(kind: str, place: Place) -> str:
    """The subject of a field, or of its kind if the table does not contain the field."""
    found = [(len(names), subject) for names, subject in _fields().get(kind, ()) if place[: len(names)] == names]
    if found:
        return max(found)[1]
    return "cosmetic" if place[:2] in _COSMETIC or place[:1] == ("kind",) else subject_of(kind)


_COSMETIC = frozenset({("metadata", "labels"), ("metadata", "annotations")})


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


@functools.cache
def _kinds() -> dict[str, str]:
    return {kind: subject for subject, kinds in _table()["kinds"].items() for kind in kinds.split()}


@functools.cache
def _fields() -> dict[str, list[tuple[Place, str]]]:
    found: dict[str, list[tuple[Place, str]]] = {}
    for subject, kinds in _table()["fields"].items():
        for kind, paths in kinds.items():
            found.setdefault(kind, []).extend((tuple(path.split(".")), subject) for path in paths.split())
    return found
