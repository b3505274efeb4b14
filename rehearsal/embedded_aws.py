"""Starts, queries and stops the AWS emulator."""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT, LOOPBACK
from charts.catalog import Catalog
from rehearsal.errors import RehearsalError
from rehearsal.paths import ROOT
from rehearsal.processes import Child
from rehearsal.run import Run

INSTANCE_TYPES = "REHEARSAL_INSTANCE_TYPES"
_START_SECONDS = 300
_ANSWER_SECONDS = 600
_PROOFS_SECONDS = 3600
_LOG_LINES = 20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # bypass the user's proxy


class EmbeddedAws:
    """An AWS emulator on loopback, which ends with the ``with`` block.

    :param run: the run that it belongs to.
    :param port: the port to listen on. Default: any free port.
    :raises RehearsalError: if the port is in use.
    """

    def __init__(self, run: Run, *, port: int | None = None) -> None:
        self._log = run.log("emulator")
        listener = _listen(port)
        stand_ins = run.temporary / "stand-ins.json"
        stand_ins.write_text(json.dumps(Catalog.load().stand_ins()), encoding="utf-8")
        self.url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        with listener, self._log.open("wb") as output:
            self._process = Child(
                [
                    *(sys.executable, "-m", "aws_rehearsal.emulator", "--until-stdin-closes"),
                    *("--listener", str(listener.fileno()), "--cache", str(run.cache), "--stand-ins", str(stand_ins)),
                ],
                env={**os.environ, "TMPDIR": str(run.temporary), INSTANCE_TYPES: str(_instance_types())},
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
        """:raises RehearsalError: with the end of its log, if it ended or does not respond in time."""
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
        """All resources, in the format of the emulator's ``inventory``."""
        return self._get("state")

    def objects(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The objects of all clusters, in the format of the emulator's ``cluster_objects``."""
        return self._get("objects")

    def permissions(self) -> dict[str, Any]:
        """The calls of roles with their authorization, in the format of the emulator's ``permissions``."""
        return self._get("permissions")

    def proofs(self) -> dict[str, dict[str, Any]]:
        """The workloads of all clusters, in the format of the emulator's ``cluster_proofs``. Waits for workloads."""
        return self._get("proofs", seconds=_PROOFS_SECONDS)

    def _get(self, what: str, *, seconds: float = _ANSWER_SECONDS) -> dict[str, Any]:
        with _DIRECT.open(f"{self.url}/_rehearsal/{what}", timeout=seconds) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def has_ended(self) -> bool:
        """Whether it ended unexpectedly."""
        return self._process.status() is not None

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])

    def environment(self, region: str) -> dict[str, str]:
        """Environment variables that make AWS tools use only the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": EMULATED_ACCOUNT,  # twelve digits, which the emulator uses as the account id
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_REGION": region,
        }


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without AWS credentials, CDK settings and proxies of the user."""
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


def _instance_types() -> Path:
    """The library's table of EC2 instance types, for the processors and accelerators of nodes."""
    return Path(str(files("mlplatform_constructs._clusters") / "instance_types.csv"))


def _listen(port: int | None) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port or 0))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise RehearsalError(f"port {port}: {reason}; choose another, or omit it to use any free one") from None
    except OverflowError:
        raise RehearsalError(f"port {port}: must be 1 to 65535") from None
