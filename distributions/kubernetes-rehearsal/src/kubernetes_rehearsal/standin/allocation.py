"""What the API server fills in when an object is created, beyond defaults: addresses, ports, selectors, statuses."""

import ipaddress
import uuid
from collections.abc import Iterator
from typing import Any

from kubernetes_rehearsal.standin.errors import Object

SERVICE_NETWORK = "172.20.0.0/16"
_NODE_PORTS = 30000
_KEPT_FOR_SERVICES = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort")


class Allocator:
    """Hands out addresses and ports of services."""

    def __init__(self) -> None:
        self._addresses: Iterator[Any] = ipaddress.ip_network(SERVICE_NETWORK).hosts()
        self._ports = iter(range(_NODE_PORTS, _NODE_PORTS + 2768))

    def address(self) -> str:
        """The next address of the service network."""
        return str(next(self._addresses))

    def port(self) -> int:
        """The next port of the nodes."""
        return next(self._ports)


def prepare(found: Object, allocator: Allocator) -> None:
    """Complete a new built-in object, before it is checked."""
    spec = found.get("spec", {})
    match found["kind"]:
        case "CustomResourceDefinition":
            _complete_definition(spec)
        case "Job":
            _select(found, spec)
        case "LimitRange":
            found["metadata"]["name"] = found["metadata"].get("name") or str(uuid.uuid4())
        case "Namespace":
            found["spec"] = {"finalizers": ["kubernetes"]}
            found["status"] = {"phase": "Active"}
            found["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = found["metadata"].get(
                "name", ""
            )
        case "PersistentVolume" | "PersistentVolumeClaim" | "Pod":
            found["status"] = {"phase": "Pending"}
        case "Service":
            allocate(spec, allocator)


def allocate(spec: Object, allocator: Allocator) -> None:
    """Give a service its address and its ports on nodes."""
    kind = spec.get("type", "ClusterIP")
    if kind != "ExternalName":
        spec["clusterIP"] = spec.get("clusterIP") or allocator.address()
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts")):
        for port in spec.get("ports", []):
            if not port.get("nodePort"):
                port["nodePort"] = allocator.port()
    if kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
        spec.setdefault("healthCheckNodePort", allocator.port())


def keep_allocated(found: Object, old: Object, allocator: Allocator) -> None:
    """On an update, preserve allocated fields of a service that the update omits."""
    if found["kind"] == "CustomResourceDefinition":
        _complete_definition(found["spec"])
    if found["kind"] != "Service":
        return
    spec, before = found["spec"], old["spec"]
    if spec.get("type") == "ExternalName":
        for name in _KEPT_FOR_SERVICES:
            spec.pop(name, None)
        return
    for name in _KEPT_FOR_SERVICES[:4]:
        if name in before and not spec.get(name):
            spec[name] = before[name]
    ports = {(port.get("protocol"), port.get("port")): port for port in before.get("ports", [])}
    for port in spec.get("ports", []):
        same = ports.get((port.get("protocol"), port.get("port")), {})
        if spec.get("type") in ("LoadBalancer", "NodePort") and "nodePort" in same:
            port.setdefault("nodePort", same["nodePort"])
        elif spec.get("type") == "ClusterIP" and port.get("nodePort") == same.get("nodePort"):
            port.pop("nodePort", None)
    allocate(spec, allocator)


def _complete_definition(spec: Object) -> None:
    names = spec.setdefault("names", {})
    names["singular"] = names.get("singular") or names.get("kind", "").lower()
    names["listKind"] = names.get("listKind") or f"{names.get('kind', '')}List"
    spec.setdefault("conversion", {"strategy": "None"})


def _select(job: Object, spec: Object) -> None:
    """A Job finds its pods by its own id."""
    if spec.get("manualSelector") or "template" not in spec:
        return
    labels = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    spec.setdefault("selector", {"matchLabels": labels})
    metadata = spec["template"].setdefault("metadata", {})
    name = {"batch.kubernetes.io/job-name": job["metadata"].get("name", "")}
    metadata["labels"] = {**metadata.get("labels", {}), **labels, **name}
