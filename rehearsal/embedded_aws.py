"""The embedded AWS as the rehearsal sees it: started, asked, and stopped."""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self

from rehearsal.errors import RehearsalError
from rehearsal.paths import EMULATED_ACCOUNT, LOOPBACK, ROOT
from rehearsal.processes import Child
from rehearsal.run import Run

_START_SECONDS = 120
_LOG_LINES = 20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy of the user


class EmbeddedAws:
    """An emulator of AWS on loopback, for as long as the ``with`` block.

    :param run: the run that it belongs to.
    :param port: where it listens. Default: any free port.
    :raises RehearsalError: where the port is taken.
    """

    def __init__(self, run: Run, *, port: int | None = None) -> None:
        self._log = run.log("emulator")
        listener = _listen(port)
        self.url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        with listener, self._log.open("wb") as output:
            self._process = Child(
                [
                    *(sys.executable, "-m", "rehearsal.emulator", "--until-stdin-closes"),
                    *("--listener", str(listener.fileno()), "--cache", str(run.cache)),
                ],
                env={**os.environ, "TMPDIR": str(run.temporary)},
                cwd=ROOT,
                output=output,
                watches_stdin=True,
                pass_fds=[listener.fileno()],
            )
        run.remember(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def wait_until_healthy(self) -> None:
        """:raises RehearsalError: with its last words, where it ended or does not answer in time."""
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                self.state()
                return
            except (OSError, HTTPException):
                if self._process.status() is not None:
                    raise RehearsalError(f"the emulator ended when it started:\n{self.last_words()}") from None
                time.sleep(0.1)
        raise RehearsalError(f"the emulator did not answer within {_START_SECONDS} s:\n{self.last_words()}")

    def state(self) -> dict[str, Any]:
        """What is there; the emulator's ``inventory`` says what it tells."""
        return self._ask("state")

    def objects(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What the clusters hold; the emulator's ``cluster_objects`` says what it tells."""
        return self._ask("objects")

    def _ask(self, what: str) -> dict[str, Any]:
        with _DIRECT.open(f"{self.url}/_rehearsal/{what}", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process.status() is not None

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])

    def environment(self, region: str) -> dict[str, str]:
        """What points any AWS tool at it, and at nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": EMULATED_ACCOUNT,  # twelve digits: the emulator takes them as the account's id
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_REGION": region,
        }


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without anybody's AWS account, CDK settings or proxies."""
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AWS_", "CDK_")) and name.lower() not in proxies
    } | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _listen(port: int | None) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port or 0))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise RehearsalError(f"port {port}: {reason}; choose another, or none to take any free one") from None
    except OverflowError:
        raise RehearsalError(f"port {port}: must be 1 to 65535") from None
