"""A mesh on a real node, as tests ask it: raw requests in, and what arrived at the workload out."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient
from kubernetes_rehearsal.nodes import relays
from kubernetes_rehearsal.nodes.sandbox import Sandbox
from kubernetes_rehearsal.proofs.examples import path_of
from kubernetes_rehearsal.proofs.mesh import Proxies, check_proxies

HOST = "kubeflow.ml.example.com"
PROXIES = 3
"""The gateway's, and two sidecars'."""
_PORT = 8080

Object = dict[str, Any]
Header = tuple[str, str]


@dataclass(frozen=True)
class Arrived:
    """A request as it came to the workload."""

    line: str
    headers: Sequence[Header]

    @property
    def path(self) -> str:
        """Path of the request line."""
        return self.line.split(" ")[1]

    def values(self, name: str) -> list[str]:
        """Every value of a header, in whatever case and with underscores for hyphens, as frameworks read it."""
        return [value for key, value in self.headers if key.lower().replace("_", "-") == name]


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    :param status: 0 where the connection ended without an answer.
    :param arrived: request as the workload got it; None where it did not.
    """

    status: int
    arrived: Arrived | None


class Recorder:
    """Answers 200 to everything within the network of a pod, and keeps what it was asked.

    :param network: descriptor of the pod's network namespace.
    """

    def __init__(self, network: int) -> None:
        self.arrived: list[Arrived] = []
        self._listener = relays.in_network(network, lambda: socket.create_server(("", _PORT), backlog=64))
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as received:
            while line := received.readline():
                headers = []
                while header := received.readline().strip():
                    name, _, value = header.decode("latin-1").partition(":")
                    headers.append((name, value.strip()))
                self.arrived.append(Arrived(line.decode("latin-1").strip(), headers))
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


@dataclass
class MeshCluster:
    """A gateway, a workload behind it, a neighbour in the mesh and a stranger outside of it.

    :param pods: by name: ``istiod``, ``gateway``, ``workload``, ``neighbour``, ``stranger``.
    """

    api: ApiClient
    sandbox: Sandbox
    pods: Mapping[str, Object]
    recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        with self._network("workload") as network:
            self.recorder = Recorder(network)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects, and wait until every proxy knows."""
        apply(self.api, *objects)
        self.settle()

    def delete(self, *objects: Mapping[str, Any]) -> None:
        """Delete objects, and wait until every proxy knows."""
        for found in objects:
            self.api.request("DELETE", path_of(self.api, found))
        self.settle()

    @contextmanager
    def without(self, *objects: Mapping[str, Any]) -> Iterator[None]:
        """The mesh without some objects, until the block ends."""
        self.delete(*objects)
        try:
            yield
        finally:
            self.apply(*objects)

    @contextmanager
    def having(self, *objects: Mapping[str, Any]) -> Iterator[None]:
        """The mesh with further objects, or with others of the same names, until the block ends."""
        before = [self._found(one) for one in objects]
        self.apply(*objects)
        try:
            yield
        finally:
            self.delete(*(one for one, old in zip(objects, before, strict=True) if not old))
            self.apply(*(old for old in before if old))

    def settle(self) -> None:
        """Wait until every proxy has the newest configuration."""
        time.sleep(0.5)  # until istiod has seen the change, and pushes
        assert check_proxies(self.proxies, count=PROXIES) == []

    def proxies(self) -> Proxies:
        """What istiod says of its proxies."""
        status, body = self.send("istiod", "127.0.0.1", 8080, request("/debug/syncz", "istiod"))
        assert status == 200, body
        found: Proxies = json.loads(body) or []
        return found

    def through_gateway(self, path: str = "/", *headers: Header, host: str = HOST) -> Answer:
        """A request to the gateway, as a load balancer would forward it."""
        return self.call("stranger", self.address("gateway"), 80, path, *headers, host=host)

    def to_workload(self, pod: str, path: str = "/", *headers: Header) -> Answer:
        """A request from a pod to the workload's Service."""
        address = self.api.get("/api/v1/namespaces/apps/services/workload")["spec"]["clusterIP"]
        return self.call(pod, address, 80, path, *headers, host="workload.apps.svc.cluster.local")

    def call(self, pod: str, address: str, port: int, path: str, *headers: Header, host: str) -> Answer:
        """A request from a pod to an address."""
        self.recorder.arrived.clear()
        status, _ = self.send(pod, address, port, request(path, host, *headers))
        return Answer(status, self.recorder.arrived[0] if self.recorder.arrived else None)

    def address(self, pod: str) -> str:
        """IP address of a pod."""
        found: str = self.pods[pod]["status"]["podIP"]
        return found

    def send(self, pod: str, address: str, port: int, content: bytes) -> tuple[int, bytes]:
        """Send bytes from within a pod's network, and read status and body of the answer."""
        with self._network(pod) as network:
            try:
                client = relays.in_network(network, lambda: socket.create_connection((address, port), 5))
            except OSError:
                return 0, b""
        with client:
            client.settimeout(10)
            try:
                client.sendall(content)
                return _answer(client)
            except OSError:
                return 0, b""

    def _found(self, wanted: Mapping[str, Any]) -> Object | None:
        path = path_of(self.api, wanted)
        kept = self.api.items(path.rpartition("/")[0])
        for one in kept:
            if one["metadata"]["name"] == wanted["metadata"]["name"]:
                name = {key: one["metadata"][key] for key in ("name", "namespace", "labels") if key in one["metadata"]}
                return {**wanted, "metadata": name, "spec": one["spec"]}
        return None

    @contextmanager
    def _network(self, pod: str) -> Iterator[int]:
        network = self.sandbox.network_of(self.pods[pod]["metadata"]["uid"])
        try:
            yield network
        finally:
            os.close(network)


def apply(api: ApiClient, *objects: Mapping[str, Any]) -> None:
    """Create or change objects."""
    for found in objects:
        api.request("PATCH", f"{path_of(api, found)}?fieldManager=tests&force=true", dict(found), APPLY_PATCH)


def request(path: str, host: str, *headers: Header) -> bytes:
    """A GET request as bytes, with nothing corrected."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")


def _answer(client: socket.socket) -> tuple[int, bytes]:
    content = b""
    while part := client.recv(65536):
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    if not head:
        return 0, b""
    if b"transfer-encoding: chunked" in head.lower():
        body = _joined(body)
    return int(head.split(b" ")[1]), body


def _joined(chunked: bytes) -> bytes:
    body = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size or b"0", 16)
        body, chunked = body + rest[:length], rest[length + 2 :] if length else b""
    return body
