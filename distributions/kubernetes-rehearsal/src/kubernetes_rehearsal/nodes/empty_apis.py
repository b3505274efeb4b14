"""An API without resources, which answers for aggregated APIs whose own servers are stand-ins.

kube-apiserver asks the Service of an aggregated API for its resources. A stand-in listens on no port, so the API would
never be available, and would fail everything that waits for it or looks for all kinds of the cluster.
"""

import base64
import json
from typing import Any

from kubernetes_rehearsal.aggregated_apis import discovery
from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.listener import Handler, Listener
from kubernetes_rehearsal.nodes import network

_NAMESPACE, _NAME = "kube-system", "rehearsal-apis"
_PLACE = {"name": _NAME, "namespace": _NAMESPACE}

Object = dict[str, Any]


class EmptyApis:
    """The server of the API, for the clusters of any number of sandboxes."""

    def __init__(self) -> None:
        self._authority = CertificateAuthority("rehearsal-apis")
        certificate = self._authority.issue("apis", hosts=(f"{_NAME}.{_NAMESPACE}.svc",))
        self._listener = Listener(_ApisHandler, certificate)

    @property
    def port(self) -> int:
        """Of loopback."""
        return self._listener.server_port

    @property
    def target(self) -> Object:
        """The part of an APIService's specification that makes kube-apiserver ask this server."""
        authority = base64.b64encode(self._authority.pem.encode()).decode()
        return {"service": {**_PLACE, "port": 443}, "caBundle": authority}

    def stop(self) -> None:
        """Close the port."""
        self._listener.stop()


def is_empty(api: Object) -> bool:
    """Whether an APIService is answered by this server."""
    service = api["spec"].get("service") or {}
    return {name: service.get(name) for name in _PLACE} == _PLACE


def objects() -> list[tuple[str, Object]]:
    """The Service by which a cluster reaches the server, each object with the path of its collection."""
    endpoints = {
        "metadata": {**_PLACE, "labels": {"kubernetes.io/service-name": _NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [network.CONTROL_PLANE], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": network.APIS_PORT, "protocol": "TCP"}],
    }
    ports = [{"name": "https", "port": 443, "targetPort": network.APIS_PORT}]
    return [
        (
            f"/api/v1/namespaces/{_NAMESPACE}/services",
            {"apiVersion": "v1", "kind": "Service", "metadata": _PLACE, "spec": {"ports": ports}},
        ),
        (
            f"/apis/discovery.k8s.io/v1/namespaces/{_NAMESPACE}/endpointslices",
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **endpoints},
        ),
    ]


class _ApisHandler(Handler):
    def do_GET(self) -> None:
        found = discovery(self.path)
        self.reply(200 if found else 404, json.dumps(found or {}).encode())
