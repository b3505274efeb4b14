"""Registries on loopback for tests of what copies images, by the program that the mirror runs."""

import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from delivery.mirror.crane import CACHE, built, version

HAVE_CRANE = bool(shutil.which("go")) or (CACHE / f"crane-{version()}").exists()
needs_crane = pytest.mark.skipif(not HAVE_CRANE, reason="crane is built with Go, which is not here")


@contextmanager
def registry() -> Iterator[str]:
    """The address of an empty registry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen([built(), "registry", "serve", "--address", address], stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://{address}/v2/")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def overloaded_registry() -> Iterator[str]:
    """The address of a registry that answers every question with 'too many requests'."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}).encode()
            self.send_response(429)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def crane(*arguments: str | Path) -> str:
    run = subprocess.run([built(), *arguments], capture_output=True, text=True, check=True, env=dict(os.environ))
    return run.stdout.strip()


def push_image(folder: Path, reference: str, content: str) -> str:
    """Push an index with an image for each of two platforms, made of nothing but one file. Returns its digest."""
    repository = reference.rpartition(":")[0]
    parts: list[str] = []
    for architecture in ("amd64", "arm64"):
        layer = folder / "layer.tar"
        with tarfile.open(layer, "w") as files:
            entry = tarfile.TarInfo("content")
            entry.size = len(content)
            files.addfile(entry, io.BytesIO(content.encode()))
        part = f"{repository}:part-{architecture}-{content}"
        crane("append", "--platform", f"linux/{architecture}", "-f", layer, "-t", part)
        crane("mutate", "--set-platform", f"linux/{architecture}", "-t", part, part)
        parts += ["-m", part]
    crane("index", "append", *parts, "-t", reference)
    return crane("digest", reference)


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{url}: does not answer")
