"""A small client of the Kubernetes API, for what the rehearsal itself asks of a cluster."""

import http.client
import json
import ssl
import threading
import time
import urllib.parse
from typing import Any

from kubernetes_rehearsal.interface import ClusterAccess

Object = dict[str, Any]
_BUSY_SECONDS = 10
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ApiFailure(Exception):
    """The API returned a failure.

    :param code: HTTP status.
    :param reason: the reason in the Status, such as ``NotFound``.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message


class ApiClient:
    """One kept-alive connection to one cluster. Threads share it, one request at a time."""

    def __init__(self, access: ClusterAccess, token: str, *, timeout_seconds: float = 30) -> None:
        url = urllib.parse.urlsplit(access.endpoint)
        context = ssl.create_default_context(cadata=access.certificate_authority)
        assert url.hostname
        self._connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=timeout_seconds)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._lock = threading.Lock()

    def get(self, path: str) -> Object:
        """An object, a list or a document."""
        return self.request("GET", path)

    def text(self, path: str) -> str:
        """A log, or anything else that is not JSON."""
        with self._lock:
            status, content = self._send("GET", path, None, "application/json", accept="*/*")
        text = content.decode(errors="replace")
        if status >= 400:
            answer: Object = json.loads(text) if text[:1] == "{" else {"message": text}
            raise ApiFailure(status, answer.get("reason", ""), answer.get("message", ""))
        return text

    def items(self, path: str) -> list[Object]:
        """The objects of a collection."""
        found: list[Object] = self.request("GET", path).get("items") or []
        return found

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Object:
        """One request.

        :param path: with its query, from ``/api`` or ``/apis`` on.
        :param body: sent as JSON, which is YAML too. Default: no body.
        :raises ApiFailure: if the API answers with a failure.
        :raises OSError: if it does not answer.
        """
        content = None if body is None else json.dumps(body).encode()
        with self._lock:
            status, text = self._send(method, path, content, content_type)
            until = time.monotonic() + _BUSY_SECONDS
            while status == 429 and time.monotonic() < until:  # for example while a new definition is made ready
                time.sleep(0.2)
                status, text = self._send(method, path, content, content_type)
        answer: Object = json.loads(text) if text[:1] == b"{" else {"message": text.decode(errors="replace")}
        if status >= 400:
            raise ApiFailure(status, answer.get("reason", ""), answer.get("message", ""))
        return answer

    def _send(
        self, method: str, path: str, content: bytes | None, content_type: str, accept: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and text of the answer, over a new connection where the server has ended one that was idle."""
        while True:
            kept = self._connection.sock is not None
            try:
                headers = {**self._headers, "Accept": accept, "Content-Type": content_type}
                self._connection.request(method, path, content, headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if not kept or not isinstance(error, http.client.RemoteDisconnected | BrokenPipeError):
                    raise OSError(f"{method} {path}: {error!r}") from error

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._connection.close()
