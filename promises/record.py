"""Reads the promises: one file for each area in ``promises/areas``, one table for each promise."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

ROOT = Path(__file__).parents[1]
AREAS = ROOT / "promises" / "areas"

_MISTAKES = {
    "missing": "required; add it",
    "extra_forbidden": "unknown key; remove it",
    "string_pattern_mismatch": "not a sentence; begin with a capital letter and end with a full stop",
    "string_too_long": "too long; use at most 160 characters",
}
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class RecordError(Exception):
    """Mistakes in promises or in references to them, one line each: place, value, fix."""


class Promise(BaseModel):
    """One promise, without its id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentence: Annotated[str, Field(pattern=r"^[A-Z].*\.$", max_length=160)]
    """The promise, as a sentence for users."""
    planned: bool = False
    """Not built yet. A planned promise has no evidence."""
    steps: tuple[str, ...] = ()
    """Steps of the rehearsal that fail if the promise is broken."""
    page: str | None = None
    """Page that is the evidence, relative to the project's folder, with an optional ``#heading``."""


@dataclass(frozen=True)
class Area:
    """The promises of one subject.

    :param file: file of the area, relative to the project's folder.
    :param title: heading on the page.
    :param promises: promises by id, in the order of the file.
    """

    file: str
    title: str
    promises: Mapping[str, Promise]


def load(folder: Path = AREAS) -> tuple[Area, ...]:
    """Read all areas, sorted by title.

    :raises RecordError: with every mistake of every file.
    """
    mistakes: list[str] = []
    areas = [_read(path, mistakes) for path in sorted(folder.glob("*.toml"))]
    files: dict[str, str] = {}
    for area in areas:
        for id in area.promises:
            if (first := files.setdefault(id, area.file)) != area.file:
                mistakes.append(f"{area.file}: {id}: also in {first}; merge the two, or choose another id")
    if mistakes:
        raise RecordError("\n".join(mistakes))
    return tuple(sorted(areas, key=lambda area: area.title))


def ids(folder: Path = AREAS) -> frozenset[str]:
    """The id of every promise.

    :raises RecordError: as :func:`load` does.
    """
    return frozenset(id for area in load(folder) for id in area.promises)


def _read(path: Path, mistakes: list[str]) -> Area:
    file = f"promises/areas/{path.name}"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecordError(f"{file}: not TOML: {error}") from None
    title = tables.pop("title", None)
    if not isinstance(title, str):
        mistakes.append(f"{file}: title: required; add the heading of the area as text")
    promises: dict[str, Promise] = {}
    for id, table in tables.items():
        if not _ID.fullmatch(id):
            mistakes.append(f"{file}: {id}: not an id; use lower-case words with hyphens, such as 'gpu-from-zero'")
        try:
            promises[id] = Promise.model_validate(table)
        except ValidationError as error:
            for problem in error.errors():
                place = ".".join(map(str, (id, *problem["loc"])))
                mistake = _MISTAKES.get(problem["type"], problem["msg"])
                mistakes.append(f"{file}: {place}: {mistake}; got {problem['input']!r}")
    return Area(file, str(title), promises)
