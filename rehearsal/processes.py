"""Processes that end with the rehearsal, even if it is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from kubernetes_rehearsal import guard

_GRACE_SECONDS = 10


class Child:
    """A process in its own process group, with all processes that it starts.

    It ends with the ``with`` block. If this process is killed, its standard input closes, and it ends.

    :param command: program and arguments.
    :param env: its complete environment.
    :param output: destination of standard output and error. Default: a pipe, read from :attr:`output`.
    :param watches_stdin: whether the program ends when its standard input closes. Default: a guard process ends it.
    :param pass_fds: file descriptors that it inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: IO[bytes] | None = None,
        watches_stdin: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        guarded = [] if watches_stdin else [sys.executable, "-S", guard.__file__]
        self._process = subprocess.Popen(
            [*guarded, *command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout
        return self._process.stdout

    def status(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait for the process, and return its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        """End the process group."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            if self._process.poll() is None:
                self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            kill_group(self._process.pid)
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()


def kill_group(leader: int) -> None:
    """Kill a process group, if it still exists."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS raises this for a group of zombies
        return


def command_line(pid: int) -> str:
    """The command line of a running process, or nothing."""
    whole = ["ps", "-ww", "-o", "args=", "-p", str(pid)]  # otherwise ps truncates it at 80 characters
    return subprocess.run(whole, capture_output=True, text=True, check=False).stdout
