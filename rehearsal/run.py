"""The one rehearsal that may be under way in this folder, and its files."""

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
        """For what is worth keeping until the next run."""
        return self.folder.parent

    @property
    def assembly(self) -> Path:
        """What synthesis made; it stays until the next run."""
        return self.folder / "assembly"

    @property
    def temporary(self) -> Path:
        """For temporary files of every process of the run."""
        return self.folder / "tmp"

    @property
    def home(self) -> Path:
        """Home of the CDK CLI, away from the user's own."""
        return self.folder / "home"

    def log(self, step: str) -> Path:
        """Where everything goes that a step says."""
        return self.folder / f"{step}.log"

    def remember(self, emulator: int) -> None:
        """Note the emulator's process, for a next run that finds it without its rehearsal."""
        (self.folder / "emulator.pid").write_text(str(emulator), encoding="utf-8")

    def record(self, seconds: Mapping[str, float]) -> None:
        """Note how long the steps of a whole rehearsal took, for ``make bench``."""
        (self.cache / "last.json").write_text(json.dumps({"steps": dict(seconds)}), encoding="utf-8")


@contextlib.contextmanager
def exclusive_run(cache: Path) -> Iterator[Run]:
    """A fresh folder for a run; no other one begins beside it in the same cache. Its logs stay until the next run.

    :raises RehearsalError: where another one is under way.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when this process dies
        except BlockingIOError:
            lock.seek(0)
            raise RehearsalError(_who_is_there(cache, lock.read())) from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "since": time.strftime("%H:%M:%S")}))
        lock.flush()
        run = Run(cache / "run")
        _end_what_a_killed_run_left(run)
        shutil.rmtree(run.folder, ignore_errors=True)
        for folder in (run.temporary, run.home):
            folder.mkdir(parents=True)
        try:
            yield run
        finally:
            for folder in (run.temporary, run.home):
                shutil.rmtree(folder, ignore_errors=True)
            (run.folder / "emulator.pid").unlink(missing_ok=True)


def _who_is_there(cache: Path, text: str) -> str:
    try:
        other = json.loads(text)
    except json.JSONDecodeError:  # it has the lock, and has not written yet
        return f"{cache}: another rehearsal begins here at this moment; wait for it"
    return (
        f"{cache}: another rehearsal is under way (process {other['pid']}, since {other['since']}); "
        f"wait for it, or end it with: kill {other['pid']}"
    )


def _end_what_a_killed_run_left(run: Run) -> None:
    """The emulator ends by itself when its rehearsal is killed; this is for one that could not."""
    note = run.folder / "emulator.pid"
    if not note.exists():
        return
    pid = int(note.read_text(encoding="utf-8") or 0)
    if pid and "rehearsal.emulator" in command_line(pid):
        kill_group(pid)
        print(f"rehearsal: ended the emulator of a run that was killed (process {pid})", flush=True)
