"""Warnings about accepted keys of a settings file: deprecated keys, and keys without effect."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from config.section import variants_of


class ConfigWarning(UserWarning):
    """A line about a settings file: file, key, what to know, what to do."""


@dataclass(frozen=True)
class Renamed:
    """A key that has another name now.

    :param to: the new key, in the same table.
    :param until: version of the platform that no longer accepts the old one.
    """

    to: str
    until: str


RENAMED: Mapping[str, Renamed] = {}
"""Deprecated keys of account files, each by its place: ``network.old``, ``clusters.*.old``."""


def warn(path: object, notices: list[str]) -> None:
    """Print the warnings of a file, one on each line."""
    for notice in notices:
        warnings.warn(f"{path}: {notice}", ConfigWarning, stacklevel=3)


def rename_deprecated(
    values: dict[str, Any], renamed: Mapping[str, Renamed] = RENAMED
) -> tuple[dict[str, Any], list[str]]:
    """The values under their current names, and a notice for each deprecated key.

    A file that has both names keeps the old key, which validation then refuses as unknown.
    """
    notices: list[str] = []

    def visit(table: dict[str, Any], place: tuple[str, ...], pattern: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, value in table.items():
            found = _match(renamed, (*pattern, name))
            if found and found.to not in table:
                old, new = ".".join((*place, name)), ".".join((*place, found.to))
                notices.append(f"{old} is deprecated and is refused from version {found.until} on; write {new}")
                name = found.to
            result[name] = visit(value, (*place, name), (*pattern, name)) if isinstance(value, dict) else value
        return result

    return visit(values, (), ()), notices


def _match(renamed: Mapping[str, Renamed], place: tuple[str, ...]) -> Renamed | None:
    for pattern, found in renamed.items():
        parts = pattern.split(".")
        if len(parts) == len(place) and all(part in ("*", name) for part, name in zip(parts, place, strict=True)):
            return found
    return None


def without_effect(section: BaseModel, path: str = "") -> Iterator[str]:
    """A notice for each key that the file gives, and that nothing in the platform reads yet."""
    for name in sorted(section.model_fields_set):
        field, value = type(section).model_fields[name], getattr(section, name)
        place = f"{path}.{name}".lstrip(".")
        extra = field.json_schema_extra
        planned = extra.get("without_effect_until") if isinstance(extra, dict) else None
        if planned:
            yield f"{place} has no effect yet; {planned} will use it"
        elif variants_of(field.annotation)[0]:
            tables = value.items() if isinstance(value, dict) else [("", value)]
            for entry, table in tables:
                if isinstance(table, BaseModel):
                    yield from without_effect(table, f"{place}.{entry}".rstrip("."))
