"""The server behind the aggregated APIs of a kube-apiserver without nodes: an empty API, served on loopback.

A kube-apiserver itself decides whether an aggregated API is available. It looks for endpoints of the API's Service, and
asks them for discovery. Without nodes there are no endpoints, and the address of the Service belongs to no program.
Therefore the kube-apiserver connects to Services through a proxy, which answers in their place.

https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/
"""

import json
import secrets
import socket
import socketserver
import ssl
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.listener import Handler, server_context
from kubernetes_rehearsal.reports import AGGREGATED

_WORKLOADS = ("deployments", "statefulsets", "daemonsets")
_ADDRESS = "192.0.2.1"  # for documentation, RFC 5737; nothing connects to it
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REQUEST_BYTES = 8192

Object = dict[str, Any]


class AggregatedApis:
    """Answers for the aggregated APIs whose Service selects the pods of a workload.

    As cert-manager and the endpoints controller do on AWS, it gives an APIService the authority of the certificates,
    and the Service an EndpointSlice. An APIService without such a Service or workload stays unavailable.

    :param folder: of the listening socket, where the system has no sockets without a file.
    :param authority: signs the certificates of the Services.
    """

    def __init__(self, folder: Path, authority: CertificateAuthority) -> None:
        # On Linux a name without a file: the path of a socket has at most 107 characters, and folders may be deeper.
        linux = sys.platform == "linux"
        self._socket = f"@kubernetes-rehearsal-apis-{secrets.token_hex(8)}" if linux else str(folder / "services.sock")
        self._authority = authority
        self._server = _Proxy(self._socket.replace("@", "\0", 1) if linux else self._socket, authority)

    def egress(self) -> Object:
        """What ``--egress-selector-config-file`` takes."""
        transport = {"uds": {"udsName": self._socket}}
        return {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [
                {"name": "cluster", "connection": {"proxyProtocol": "HTTPConnect", "transport": transport}}
            ],
        }

    def reconcile(self, client: ApiClient) -> None:
        """Make every aggregated API with a workload available."""
        for found in client.items(f"{AGGREGATED}?resourceVersion=0"):
            reference = found["spec"].get("service")
            if not reference or "deletionTimestamp" in found["metadata"]:
                continue
            if service := _served(client, reference):
                self._trust(client, found)
                _connect(client, service)

    def stop(self) -> None:
        """Close the socket."""
        self._server.stop()

    def _trust(self, client: ApiClient, found: Object) -> None:
        if found["spec"].get("caBundle") or found["spec"].get("insecureSkipTLSVerify"):
            return
        seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
        authority = b64encode(self._authority.pem.encode()).decode()
        path = f"{AGGREGATED}/{found['metadata']['name']}"
        client.request("PATCH", path, {"metadata": seen, "spec": {"caBundle": authority}}, MERGE_PATCH)


def discovery(path: str) -> Object | None:
    """The resources of ``/apis/<group>/<version>``: none. None for other paths."""
    match path.partition("?")[0].split("/"):
        case ["", "apis", group, version]:
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{group}/{version}",
                "resources": [],
            }
    return None


def endpoint_slice(service: Object) -> Object:
    """An endpoint for every port of a Service, deleted with it."""
    metadata = service["metadata"]
    owner = {"apiVersion": "v1", "kind": "Service", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "metadata": {
            "name": f"{metadata['name']}-rehearsal",
            "labels": {
                "kubernetes.io/service-name": metadata["name"],
                "endpointslice.kubernetes.io/managed-by": "rehearsal",
            },
            "ownerReferences": [owner],
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [_ADDRESS], "conditions": {"ready": True}}],
        "ports": [
            {"name": port.get("name", ""), "port": port["port"], "protocol": port["protocol"]}
            for port in service["spec"]["ports"]
        ],
    }


def _served(client: ApiClient, reference: Mapping[str, str]) -> Object | None:
    """The Service of an APIService, if it selects pods of a workload."""
    namespace = reference["namespace"]
    try:
        service = client.get(f"/api/v1/namespaces/{namespace}/services/{reference['name']}")
    except ApiFailure as failure:
        if failure.code != 404:
            raise
        return None
    selector = service["spec"].get("selector") or {}
    served = any(selector.items() <= labels.items() for labels in _pod_labels(client, namespace))
    return service if selector and served else None


def _pod_labels(client: ApiClient, namespace: str) -> Iterator[Mapping[str, str]]:
    for plural in _WORKLOADS:
        for found in client.items(f"/apis/apps/v1/namespaces/{namespace}/{plural}"):
            yield found["spec"]["template"]["metadata"].get("labels") or {}


def _connect(client: ApiClient, service: Object) -> None:
    collection = f"/apis/discovery.k8s.io/v1/namespaces/{service['metadata']['namespace']}/endpointslices"
    selection = f"labelSelector=kubernetes.io/service-name={service['metadata']['name']}"
    if not client.items(f"{collection}?{selection}"):
        client.request("POST", collection, endpoint_slice(service))


class _Answer(Handler):
    disable_nagle_algorithm = False  # the socket is not one of TCP

    def do_GET(self) -> None:
        found = discovery(self.path)
        self.reply(200 if found else 404, json.dumps(found or {}).encode())


class _Proxy(socketserver.ThreadingUnixStreamServer):
    """Accepts HTTP's CONNECT for any address, and answers as the TLS server with the name that the client expects."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: str, authority: CertificateAuthority) -> None:
        self._authority = authority
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._context = server_context(authority.issue("services"))
        self._context.sni_callback = self._choose
        super().__init__(path, _Answer)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread."""
        if _requested(request).startswith(b"CONNECT "):
            request.sendall(_ESTABLISHED)
            with self._context.wrap_socket(request, server_side=True) as connection:
                _Answer(connection, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore disconnected clients, and those that speak no TLS; any other error is a fault."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            if name not in self._contexts:
                self._contexts[name] = server_context(self._authority.issue(name, hosts=[name]))
            connection.context = self._contexts[name]


def _requested(connection: socket.socket) -> bytes:
    """The head of a request, read byte by byte: what follows belongs to TLS."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _REQUEST_BYTES and (byte := connection.recv(1)):
        head += byte
    return head
