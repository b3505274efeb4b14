"""Lists of software in TOML files: one table an entry, its keys the fields of a dataclass."""

import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Entry = TypeVar("Entry")


def load_list(path: Path, kind: Callable[..., Entry]) -> dict[str, Entry]:
    """All entries of a file, by the names of their tables.

    :param kind: the dataclass; its field ``name`` gets the name.
    :raises ValueError: if an entry lacks a field or has one that nobody reads.
    """
    entries = {}
    for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
        try:
            entries[name] = kind(name=name, **fields)
        except TypeError as error:
            parameters = inspect.signature(kind).parameters.values()
            needed = [each.name for each in parameters if each.default is each.empty and each.name != "name"]
            raise ValueError(f"{path.name}: [{name}]: {error}; an entry has {', '.join(needed)}") from None
    return entries
