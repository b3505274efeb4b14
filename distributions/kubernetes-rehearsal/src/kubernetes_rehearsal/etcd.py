"""One etcd for all clusters of a rehearsal, each with its own prefix."""

import base64
import json
import ssl
import time
import urllib.request
from pathlib import Path

from kubernetes_rehearsal.certificates import LOOPBACK, CertificateAuthority
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.processes import Server, free_port

_START_SECONDS = 20


class Etcd:
    """An etcd that requires this rehearsal's client certificate. Its data is deleted with the folder.

    :param program: the ``etcd`` binary.
    :param folder: private folder for data, certificates and log.
    """

    def __init__(self, program: Path, folder: Path) -> None:
        authority = CertificateAuthority("rehearsal-etcd")
        self.authority = folder / "etcd-ca.pem"
        self.certificate = folder / "etcd.pem"
        self.key = folder / "etcd.key"
        self.url = f"https://{LOOPBACK}:{free_port()}"
        issued = authority.issue("etcd")
        self.authority.write_text(authority.pem, encoding="utf-8")
        self.certificate.write_bytes(issued.certificate)
        self.key.touch(mode=0o600)
        self.key.write_bytes(issued.key)
        self._context = ssl.create_default_context(cafile=str(self.authority))
        self._context.load_cert_chain(self.certificate, self.key)
        self._server = Server(self._command(program, folder), log=folder / "etcd.log")
        self._wait()

    def delete(self, prefix: str) -> None:
        """Forget every key under ``prefix``, which ends in ``/``."""
        after = prefix[:-1] + chr(ord("/") + 1)
        body = {name: base64.b64encode(key.encode()).decode() for name, key in (("key", prefix), ("range_end", after))}
        self._request("/v3/kv/deleterange", body)

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def _command(self, program: Path, folder: Path) -> list[str]:
        return [
            str(program),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls=https://{LOOPBACK}:0",  # there are no peers, but the listener cannot be left out
            f"--trusted-ca-file={self.authority}",
            f"--cert-file={self.certificate}",
            f"--key-file={self.key}",
            "--client-cert-auth",
            f"--peer-trusted-ca-file={self.authority}",
            f"--peer-cert-file={self.certificate}",
            f"--peer-key-file={self.key}",
            "--peer-client-cert-auth",
            "--unsafe-no-fsync",  # the data need not survive this machine's power
            "--log-level=warn",
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            self._server.check()
            try:
                self._request("/v3/maintenance/status", {})
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    self._server.stop()
                    raise KubernetesError(f"etcd: no answer at {self.url} in {_START_SECONDS} s: {error}") from error
            time.sleep(0.05)

    def _request(self, path: str, body: dict[str, str]) -> None:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        opener.open(request, timeout=5).read()
