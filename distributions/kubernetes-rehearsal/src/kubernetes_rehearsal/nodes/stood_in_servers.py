"""Keeps kube-apiserver from calling stand-ins, which answer nothing, and from giving up on other webhooks too early."""

from collections.abc import Callable
from typing import Any

from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient
from kubernetes_rehearsal.nodes.admission import STORED_ONLY
from kubernetes_rehearsal.nodes.empty_apis import is_empty
from kubernetes_rehearsal.reports import AGGREGATED, certified

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_WEBHOOKS = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
_NEVER = {"name": "stored-only", "expression": "false"}
_TIMEOUT_SECONDS = 30
"""The longest that the API allows: pods share the processors of this machine."""

Object = dict[str, Any]
Request = Callable[[str, str, Object, str], None]


class StoodInServers:
    """Webhooks and aggregated APIs whose Service selects stand-ins only.

    A webhook of stand-ins gets a condition that never holds, and an authority, since no program would write it. Their
    aggregated API is answered by the empty one. Every other webhook gets the longest timeout, and no other change.

    :param client: a client with all permissions.
    :param request: makes a change, and ignores an object that has changed or gone meanwhile.
    :param empty: the part of an APIService's specification that leads to the empty API.
    """

    def __init__(self, client: ApiClient, request: Request, empty: Object) -> None:
        self._client = client
        self._request = request
        self._empty = empty
        self._running: set[tuple[str, str]] = set()

    def reconcile(self) -> None:
        """One round."""
        for plural in _WEBHOOKS:
            for found in self._client.items(f"{_ADMISSION}/{plural}?resourceVersion=0"):
                self._adapt(plural, found)
        for found in self._client.items(f"{AGGREGATED}?resourceVersion=0"):
            if not is_empty(found) and self._is_stood_in(found["spec"]):
                self._change(f"{AGGREGATED}/{found['metadata']['name']}", found, {"spec": self._empty})

    def _adapt(self, plural: str, found: Object) -> None:
        webhooks = found.get("webhooks") or []
        patient = [{**hook, "timeoutSeconds": _TIMEOUT_SECONDS} for hook in webhooks]
        idle = [
            _NEVER not in (hook.get("matchConditions") or []) and self._is_stood_in(hook["clientConfig"])
            for hook in webhooks
        ]
        if any(idle):
            authorized = certified({"webhooks": patient}) or patient  # waits for certificates end
            patient = [
                {**whole, "matchConditions": [_NEVER]} if stood_in else hook
                for hook, whole, stood_in in zip(patient, authorized, idle, strict=True)
            ]
        if patient != webhooks:
            self._change(f"{_ADMISSION}/{plural}/{found['metadata']['name']}", found, {"webhooks": patient})

    def _change(self, path: str, found: Object, change: Object) -> None:
        seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
        self._request("PATCH", path, {"metadata": seen, **change}, MERGE_PATCH)

    def _is_stood_in(self, target: Object) -> bool:
        """Whether the Service that a target names has pods, all of which are stand-ins."""
        service = target.get("service")
        if not service or (place := (service["namespace"], service["name"])) in self._running:
            return False
        namespace = f"/api/v1/namespaces/{service['namespace']}"
        services = self._client.items(f"{namespace}/services?fieldSelector=metadata.name={service['name']}")
        selector = services[0]["spec"].get("selector") if services else None
        if not selector:
            return False
        labels = ",".join(f"{name}%3D{value}" for name, value in selector.items())
        pods = self._client.items(f"{namespace}/pods?labelSelector={labels}")
        stood_in = all(STORED_ONLY in (pod["metadata"].get("annotations") or {}) for pod in pods)
        if pods and not stood_in:
            self._running.add(place)  # what an image is, it stays: no need to ask again in every round
        return bool(pods) and stood_in
