"""Writes digests into a list, beside the version that they are of; comments, order and all else stay as they are."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path


def record(path: Path, digests: Mapping[str, str]) -> list[str]:
    """Give entries of a list their digests.

    :param digests: by the entry's key.
    :return: keys of the entries that had none.
    """
    there = tomllib.loads(path.read_text(encoding="utf-8"))
    new = [name for name in digests if "digest" not in there[name]]
    lines: list[str] = []
    entry = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        lines.append(line)
        if header := re.fullmatch(r"\[([\w-]+)\]\s*", line):
            entry = header[1]
        elif entry in new and re.match(r"(tag|version)\s*=", line):
            lines.append(f'digest = "{digests[entry]}"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return new
