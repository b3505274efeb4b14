"""The cache of built programs, packages and images, with a check that they match the current table."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from kubernetes_rehearsal.programs.table import HERE, Table

CACHE = Path(".cache", "programs").absolute()


@dataclass(frozen=True)
class Facts:
    """What is known of a built part or image.

    :param key: digest of everything that it was made from.
    :param seconds: that it took, by the clock.
    :param megabytes: on disk.
    :param cpu_seconds: of processor time, which does not depend on what else the machine did.
    """

    key: str
    seconds: float
    megabytes: float
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Store:
    """Folders: ``bin`` for programs, ``debian`` and ``pypi`` for package sets, ``images`` for archives, ``facts``."""

    table: Table
    cache: Path = CACHE
    source: Path = HERE

    def path(self, item: str) -> Path:
        """Where a part (``KIND/NAME``) or an image (its full name) is kept, or would be."""
        kind, _, name = item.partition("/")
        if kind == "go":
            return self.cache / "bin" / name
        if kind in ("debian", "pypi") and item not in self.table.images:
            return self.cache / kind / name
        return self.cache / "images" / f"{_file_name(item)}.tar"

    def facts(self, item: str) -> Facts | None:
        """The facts about an item that was built from the current table and locks."""
        try:
            facts = Facts(**json.loads(self._facts_file(item).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return facts if facts.key == self.key(item) and self.path(item).exists() else None

    def keep(self, item: str, made: Path, seconds: float, cpu_seconds: float = 0.0) -> Facts:
        """Move a built item to its place, atomically."""
        target = self.path(item)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._facts_file(item).unlink(missing_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(made, target)
        facts = Facts(self.key(item), round(seconds, 1), round(_size(target) / 1e6, 1), round(cpu_seconds, 1))
        self._facts_file(item).parent.mkdir(parents=True, exist_ok=True)
        self._facts_file(item).write_text(json.dumps(asdict(facts)), encoding="utf-8")
        return facts

    def key(self, item: str) -> str:
        """The digest of everything that an item is made from: its row, its lock and our own files."""
        digest = hashlib.sha256(item.encode())
        kind, _, name = item.partition("/")
        if item in self.table.images:
            digest.update(self.table.images[item].model_dump_json(exclude={"note"}).encode())
            for part in self.table.parts(item):
                digest.update(self.key(part).encode())
        elif kind == "go":
            program = self.table.go[name]
            digest.update(program.model_dump_json(exclude={"on_demand"}).encode())
            digest.update(json.dumps(self.table.stamps.get(program.stamps)).encode())
            _update(digest, [self.source / "modules" / program.lock])
        else:
            # What `without` omits shows in the lock.
            row = self.table.debian[name] if kind == "debian" else self.table.pypi[name]
            digest.update(row.model_dump_json(exclude={"on_demand", "without"}).encode())
            _update(digest, [self.source / "locks" / kind / f"{name}.txt"])
        return digest.hexdigest()[:16]

    def _facts_file(self, item: str) -> Path:
        return self.cache / "facts" / f"{_file_name(item)}.json"


def _file_name(item: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", item)


def _update(digest: "hashlib._Hash", paths: Iterable[Path]) -> None:
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(str(file.relative_to(path)).encode())
                digest.update(file.read_bytes())


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_symlink())
