"""A real Prometheus on loopback, with recorded series and the platform's rules evaluated over them."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubernetes_rehearsal import programs
from tests.charts.monitoring import recorded

NEEDED = ("prometheus", "promtool")
_READY_SECONDS = 60


def missing() -> list[str]:
    """Programs that are not built."""
    return [name for name in NEEDED if programs.program(name) is None]


@dataclass(frozen=True)
class Replay:
    """A running server.

    :param address: of its HTTP API.
    """

    address: str

    def query(self, expression: str, *, at: int = recorded.END) -> list[Any]:
        """The series of an instant query."""
        return self._result("query", query=expression, time=str(at))

    def history(self, expression: str, *, hours: float = recorded.HOURS, step: int = 600) -> list[Any]:
        """The series of a range query that ends with the recording."""
        start = int(recorded.END - hours * 3600)
        return self._result("query_range", query=expression, start=str(start), end=str(recorded.END), step=str(step))

    def _result(self, path: str, **parameters: str) -> list[Any]:
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters['query']}: {error.read().decode()}") from None
        result: list[Any] = content["data"]["result"]
        return result


@contextmanager
def replay(folder: Path, groups: Sequence[Any]) -> Iterator[Replay]:
    """Make a database of the recorded series, evaluate the recording rules over it, and serve it.

    :param groups: of rules.
    """
    data = folder / "data"
    (folder / "recorded.txt").write_text(recorded.openmetrics(), encoding="utf-8")
    _promtool("tsdb", "create-blocks-from", "openmetrics", str(folder / "recorded.txt"), str(data))
    # Rules read what other rules record, so one level is evaluated after another.
    for level in levels(groups):
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": level}), encoding="utf-8")
        with serving(folder, data) as server:
            window = [f"--start={recorded.START}", f"--end={recorded.END}", "--eval-interval=60s"]
            made = ["--output-dir", str(data), "--url", server.address, str(folder / "rules.yaml")]
            _promtool("tsdb", "create-blocks-from", "rules", *window, *made)
    with serving(folder, data) as server:
        yield server


def levels(groups: Sequence[Any]) -> list[list[Any]]:
    """Recording rules by what they read: those of a level read series and rules of earlier levels."""
    rules = {rule["record"]: rule for group in groups for rule in group["rules"] if "record" in rule}
    every = [rule for group in groups for rule in group["rules"] if "record" in rule]
    done: set[str] = set()
    found: list[list[Any]] = []
    while done != set(rules):
        ready = [
            rule
            for rule in every
            if rule["record"] not in done
            and not any(name in rule["expr"] for name in rules if name not in done and name != rule["record"])
        ]
        assert ready, "rules read each other in a circle"
        found.append([{"name": f"level-{len(found)}", "rules": ready}])
        done |= {rule["record"] for rule in ready}
    return found


def _promtool(*arguments: str) -> None:
    command = [str(programs.program("promtool")), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@contextmanager
def serving(folder: Path, data: Path, configuration: Mapping[str, Any] | None = None) -> Iterator[Replay]:
    """A real Prometheus with this database.

    :param folder: for its files.
    :param configuration: Default: it scrapes nothing.
    """
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration or {}), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(programs.program("prometheus")),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + _READY_SECONDS
        while not _is_ready(address):
            assert process.poll() is None, "Prometheus ended"
            assert time.monotonic() < until, f"Prometheus was not ready after {_READY_SECONDS} s"
            time.sleep(0.1)
        yield Replay(address)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
