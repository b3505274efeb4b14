"""A real index on loopback that asks who comes, and remembers it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pypiserver

USER, TOKEN = "aws", "a-token-of-minutes"


@dataclass(frozen=True)
class LocalIndex:
    """:param opened: user and password of everyone who came."""

    url: str
    folder: Path
    opened: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def local_index(folder: Path, *, hash_algo: str = "sha256") -> Iterator[LocalIndex]:
    """Only ``TOKEN`` authenticates. Files are immutable, and none comes from the public index."""
    opened: list[tuple[str, str]] = []

    def lets_in(user: str, password: str) -> bool:
        opened.append((user, password))
        return (user, password) == (USER, TOKEN)

    application = pypiserver.app(
        roots=[folder],
        authenticate=["update", "download", "list"],
        auther=lets_in,
        hash_algo=hash_algo,
        disable_fallback=True,
    )
    server = make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield LocalIndex(f"http://127.0.0.1:{server.server_port}", folder, opened)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
