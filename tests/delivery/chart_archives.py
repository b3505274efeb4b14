"""Helm charts made on the spot, and a repository on loopback that serves them."""

import functools
import hashlib
import http.server
import io
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml


def chart_archive(name: str, version: str) -> bytes:
    """A chart that holds nothing but its description."""
    description = yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version}).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as files:
        entry = tarfile.TarInfo(f"{name}/Chart.yaml")
        entry.size = len(description)
        files.addfile(entry, io.BytesIO(description))
    return archive.getvalue()


@contextmanager
def served(
    archives: Mapping[str, bytes], *, listed: Mapping[str, str] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a repository, and the digests of its archives.

    :param listed: digests that its index gives instead of the true ones.
    """
    digests = {name: f"sha256:{hashlib.sha256(archive).hexdigest()}" for name, archive in archives.items()}
    with tempfile.TemporaryDirectory() as folder:
        entries = {}
        for name, archive in archives.items():
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                member = files.extractfile(f"{name}/Chart.yaml")
                assert member
                description = yaml.safe_load(member.read())
            digest = (listed or digests)[name].removeprefix("sha256:")
            entries[name] = [{**description, "urls": [f"{name}.tgz"], "digest": digest}]
            Path(folder, f"{name}.tgz").write_bytes(archive)
        Path(folder, "index.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "entries": entries}))
        handler = functools.partial(_Quiet, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", digests
        finally:
            server.shutdown()
            server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
