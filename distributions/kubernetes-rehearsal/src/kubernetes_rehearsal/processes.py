"""Servers of other people, run as children that never outlive this process."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kubernetes_rehearsal import guard
from kubernetes_rehearsal.certificates import LOOPBACK
from kubernetes_rehearsal.interface import KubernetesError

_SHOWN_LINES = 5


def free_port() -> int:
    """A free TCP port of loopback."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A running server; it ends with ``stop`` or with this process, even when that is killed.

    :param command: program and arguments.
    :param log: file that receives its output.
    """

    def __init__(self, command: Sequence[str], *, log: Path) -> None:
        self._name = Path(command[0]).name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-S", guard.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={},  # no credentials and no proxies of the user
                start_new_session=True,  # an interrupt from the keyboard is for this process alone
            )

    def check(self) -> None:
        """:raises KubernetesError: with the end of its output, if the server has ended unexpectedly."""
        if (status := self._process.poll()) is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN_LINES:]
            raise KubernetesError(f"{self._name}: ended with status {status}: {' | '.join(lines)}")

    def stop(self) -> None:
        """Ask the server to end and wait until it has."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(guard.GRACE_SECONDS + 5)
