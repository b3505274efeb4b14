"""The current rehearsal of a cache folder, and its files."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.errors import RehearsalError
from rehearsal.processes import command_line, kill_group


@dataclass(frozen=True)
class Run:
    """Folders and files of a run."""

    folder: Path

    @property
    def cache(self) -> Path:
        """Files that later runs reuse."""
        return self.folder.parent

    @property
    def assembly(self) -> Path:
        """The cloud assembly; kept until the next run."""
        return self.folder / "assembly"

    @property
    def temporary(self) -> Path:
        """Temporary files of all processes of the run."""
        return self.folder / "tmp"

    @property
    def home(self) -> Path:
        """Home folder of the CDK CLI, separate from the user's."""
        return self.folder / "home"

    @property
    def calls(self) -> Path:
        """The calls of roles, for ``assurance.permissions.rehearsed``; kept until the next run."""
        return self.folder / "calls.json"

    def log(self, step: str) -> Path:
        """The log file of a step."""
        return self.folder / f"{step}.log"

    def remember(self, emulator: int) -> None:
        """Record the emulator's process, so that the next run can end an orphaned one."""
        (self.folder / "emulator.pid").write_text(str(emulator), encoding="utf-8")

    def record(self, seconds: Mapping[str, float]) -> None:
        """Record the durations of a complete rehearsal's steps, for ``make bench``."""
        (self.cache / "last.json").write_text(json.dumps({"steps": dict(seconds)}), encoding="utf-8")


@contextlib.contextmanager
def exclusive_run(cache: Path) -> Iterator[Run]:
    """An empty folder for a run, locked against other runs in the same cache. Its logs are kept until the next run.

    :raises RehearsalError: if another run is in progress.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released by the system when this process ends
        except BlockingIOError:
            lock.seek(0)
            raise RehearsalError(_owner_of(cache, lock.read())) from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%H:%M:%S")}))
        lock.flush()
        run = Run(cache / "run")
        _end_orphaned_emulator(run)
        shutil.rmtree(run.folder, ignore_errors=True)
        for folder in (run.temporary, run.home):
            folder.mkdir(parents=True)
        try:
            yield run
        finally:
            for folder in (run.temporary, run.home):
                shutil.rmtree(folder, ignore_errors=True)
            (run.folder / "emulator.pid").unlink(missing_ok=True)


def _owner_of(cache: Path, text: str) -> str:
    try:
        other = json.loads(text)
    except json.JSONDecodeError:  # locked, but not written yet
        return f"{cache}: another rehearsal is starting here; wait for it"
    return (
        f"{cache}: another rehearsal is under way (process {other['pid']}, since {other['since']}); "
        f"wait for it, or end it with: kill {other['pid']}"
    )


def _end_orphaned_emulator(run: Run) -> None:
    """End an emulator that did not end when its rehearsal was killed."""
    note = run.folder / "emulator.pid"
    if not note.exists():
        return
    pid = int(note.read_text(encoding="utf-8") or 0)
    if pid and "aws_rehearsal.emulator" in command_line(pid):
        kill_group(pid)
        print(f"rehearsal: ended the emulator of a run that was killed (process {pid})", flush=True)
