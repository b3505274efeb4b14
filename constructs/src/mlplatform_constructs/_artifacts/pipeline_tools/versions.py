"""The version of a source: its semantic tag, or which revision it is."""

from __future__ import annotations

import re
from pathlib import Path

from .commands import run

_TAG = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def revision_tag(revision: str) -> str:
    """A name for a revision without a release: a commit, or a version of an object."""
    return "rev-" + re.sub(r"[^A-Za-z0-9]", "", revision)[:12]


def version_of(source: Path, revision: str) -> str:
    """``1.2.3`` of the highest tag ``v1.2.3`` of the commit or, where the source is not a clone, of its file VERSION.

    :return: otherwise the name of the revision.
    """
    if (source / ".git").exists():
        names = run("git", "-C", str(source), "tag", "--points-at", "HEAD").split()
    else:
        file = source / "VERSION"
        names = [file.read_text(encoding="utf-8").strip()] if file.exists() else []
    found = [tuple(map(int, match.groups())) for match in map(_TAG.fullmatch, names) if match]
    return ".".join(map(str, max(found))) if found else revision_tag(revision)
