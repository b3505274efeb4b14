"""The source line that creates each construct, so that a denial can report where its role is created."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rehearsal.paths import ROOT

_FILE = "origins.json"
_OURS = tuple(str(ROOT / name) for name in ("charts", "constructs", "examples", "stacks"))


@dataclass(frozen=True)
class Origins:
    """Source lines by construct path."""

    lines: Mapping[str, str]

    @classmethod
    def load(cls, assembly: Path) -> "Origins":
        """The lines of an assembly that was synthesized while :func:`record` was active; empty for others."""
        file = assembly / _FILE
        return cls(json.loads(file.read_text(encoding="utf-8")) if file.exists() else {})

    def of(self, path: str) -> str:
        """The line that creates a construct, or its nearest parent that Python code creates."""
        while path and path not in self.lines:
            path = path.rpartition("/")[0]
        return self.lines.get(path, "")


def record() -> dict[int, tuple[int, str, str]]:
    """Start to record the line of each construct that Python creates. Returns the record, for :func:`save`."""
    from constructs import Construct
    from jsii._runtime import JSIIMeta

    made: dict[int, tuple[int, str, str]] = {}
    kept: list[object] = []
    create = JSIIMeta.__call__

    def call(cls: Any, *args: Any, **named: Any) -> Any:
        instance = create(cls, *args, **named)
        if isinstance(instance, Construct) and len(args) >= 2 and isinstance(args[1], str):
            kept.append(instance)  # ids are unique for living objects only
            made[id(instance)] = (id(args[0]), args[1], _line(sys._getframe(1)))
        return instance

    JSIIMeta.__call__ = call  # type: ignore[method-assign] # before any construct is made
    return made


def save(made: Mapping[int, tuple[int, str, str]], assembly: Path) -> None:
    """Write a record next to an assembly."""

    def path(key: int) -> str:
        if key not in made:
            return ""
        scope, name, _ = made[key]
        return "/".join(part for part in (path(scope), name) if part)

    lines = {path(key): line for key, (_, _, line) in made.items() if line}
    (assembly / _FILE).write_text(json.dumps(lines), encoding="utf-8")


def _line(frame: FrameType | None) -> str:
    while frame and not frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).relative_to(ROOT)}:{frame.f_lineno}" if frame else ""
