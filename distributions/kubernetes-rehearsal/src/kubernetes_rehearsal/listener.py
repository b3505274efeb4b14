"""An HTTPS server on a free port of loopback."""

import contextlib
import socket
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.certificates import LOOPBACK, Certificate


class Handler(BaseHTTPRequestHandler):
    """A silent HTTP/1.1 handler; subclasses answer with ``reply``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def body(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def bearer_token(self) -> str | None:
        """The token of the Authorization header, or None."""
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return token if scheme.lower() == "bearer" and token else None

    def reply(self, status: int, content: bytes, content_type: str = "application/json") -> None:
        """Send a whole response."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: they may carry secrets."""


class Listener(ThreadingHTTPServer):
    """Serves ``handler`` over TLS, one thread a connection, until ``stop``."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, handler: type[Handler], certificate: Certificate) -> None:
        self._context = server_context(certificate)
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        super().__init__((LOOPBACK, 0), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """``https://127.0.0.1:<port>``."""
        return f"https://{LOOPBACK}:{self.server_port}"

    def stop(self) -> None:
        """Close the port, and the connections that clients keep open."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # closed by the client meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[Any, Any]:
        """Defer the handshake to the connection's own thread, so that a silent client does not block others."""
        plain, address = super().get_request()
        connection = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """A connection is over."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore disconnected clients; any other error is a fault of the handler."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """TLS settings of a server; the standard library takes a key from files only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder, "pem")
        pem.touch(mode=0o600)
        pem.write_bytes(certificate.certificate + certificate.key)
        context.load_cert_chain(pem)
    return context
