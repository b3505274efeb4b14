"""Writes digests into a list, next to the version; comments and order are preserved."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def record(path: Path, digests: Mapping[str, str]) -> list[str]:
    """Add digests to the entries of a list.

    :param digests: by the name of the entry's table, such as ``images.karpenter``.
    :return: names of the entries that had no digest.
    """
    there = tomllib.loads(path.read_text(encoding="utf-8"))
    new = [name for name in digests if "digest" not in _table(there, name)]
    lines: list[str] = []
    entry = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        lines.append(line)
        if header := re.fullmatch(r"\[([\w.-]+)\]\s*", line):
            entry = header[1]
        elif entry in new and re.match(r"(tag|repository)\s*=", line):
            lines.append(f'digest = "{digests[entry]}"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return new


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    kind, _, key = name.partition(".")
    found: Mapping[str, Any] = tables[kind][key]
    return found
