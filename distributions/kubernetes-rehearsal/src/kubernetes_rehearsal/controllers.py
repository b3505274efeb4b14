"""The rehearsal's own controllers: one thread a cluster that asks, decides and writes, again and again."""

import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes_rehearsal.aggregated_apis import AggregatedApis
from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.reports import AGGREGATED, REPORTS, certified, missing_status

_GRACE = timedelta(seconds=2)  # clients that delete a namespace with its objects still find these
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1"
_NAMESPACES = "/api/v1/namespaces"

Object = dict[str, Any]
Step = Callable[[], object]


class Controllers:
    """Sets the status that nodes would report and, without kube-controller-manager, maintains namespaces.

    :param client: a client with all permissions.
    :param namespaces: create the default service account of namespaces, and delete the contents of terminating ones.
        The latter is also done if an aggregated API without a server blocks the namespace controller.
    :param aggregated: answers for aggregated APIs, whose status the API server sets. Default: the status is set here.
    """

    interval_seconds = 0.5

    def __init__(self, client: ApiClient, *, namespaces: bool, aggregated: AggregatedApis | None = None) -> None:
        self._client = client
        self._aggregated = aggregated
        self._keeps_namespaces = namespaces
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def steps(self) -> tuple[Step, ...]:
        """The parts of a round, in order. One that fails does not stop the others, and is retried in the next round."""
        return (self._serve_apis, self._report_statuses, self._certify_webhooks, self._keep_namespaces)

    def _serve_apis(self) -> None:
        if self._aggregated:
            self._aggregated.reconcile(self._client)

    def _report_statuses(self) -> None:
        for collection in REPORTS:
            if self._aggregated and collection == AGGREGATED:
                continue
            for found in self._client.items(f"{collection}?resourceVersion=0"):
                self._report(collection, found)

    def _certify_webhooks(self) -> None:
        for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
            for found in self._client.items(f"{_WEBHOOKS}/{plural}?resourceVersion=0"):
                if webhooks := certified(found):
                    seen = {"resourceVersion": found["metadata"]["resourceVersion"]}
                    path = f"{_WEBHOOKS}/{plural}/{found['metadata']['name']}"
                    self._request("PATCH", path, {"metadata": seen, "webhooks": webhooks}, MERGE_PATCH)

    def _keep_namespaces(self) -> None:
        for namespace in self._client.items(_NAMESPACES):
            if self._keeps_namespaces or _is_blocked(namespace):
                self._keep(namespace)

    def _run(self) -> None:
        while not self._stopping.wait(self.interval_seconds):
            for step in self.steps():
                try:
                    step()
                except (ApiFailure, OSError):
                    continue  # the object was deleted, or the API is restarting
                except Exception:  # a fault of one step; waits would end without a word if the thread did
                    traceback.print_exc()

    def _report(self, collection: str, found: Object) -> None:
        status = missing_status(collection, found)
        metadata = found["metadata"]
        if not status or "deletionTimestamp" in metadata:
            return
        prefix, _, plural = collection.rpartition("/")
        place = f"namespaces/{metadata['namespace']}/" if "namespace" in metadata else ""
        path = f"{prefix}/{place}{plural}/{metadata['name']}/status"
        seen = {"resourceVersion": metadata["resourceVersion"]}
        self._request("PATCH", path, {"metadata": seen, "status": status}, MERGE_PATCH)

    def _keep(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        accounts = f"{_NAMESPACES}/{name}/serviceaccounts"
        if deleted := namespace["metadata"].get("deletionTimestamp"):
            if datetime.now(UTC) - datetime.fromisoformat(deleted) > _GRACE:
                self._empty(namespace)
        elif not self._client.items(f"{accounts}?fieldSelector=metadata.name=default"):
            self._request("POST", accounts, {"metadata": {"name": "default"}})

    def _empty(self, namespace: Object) -> None:
        """Delete the contents of the namespace, then remove its finalizer, as the namespace controller does."""
        name = namespace["metadata"]["name"]
        left = 0
        for prefix, plural in deletable(self._client):
            collection = f"{prefix}/namespaces/{name}/{plural}"
            if held := len(self._client.items(collection)):
                left += held
                self._request("DELETE", collection)
        if not left:
            namespace["spec"]["finalizers"] = []
            self._request("PUT", f"{_NAMESPACES}/{name}/finalize", namespace)

    def _request(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> None:
        try:
            self._client.request(method, path, body, content_type)
        except ApiFailure as failure:
            if failure.code not in (404, 409):  # gone or changed meanwhile: the next round sees
                raise


def _is_blocked(namespace: Object) -> bool:
    """Whether the namespace controller waits for an aggregated API to answer, which none does here."""
    conditions = namespace.get("status", {}).get("conditions") or []
    return any(one["type"] == "NamespaceDeletionDiscoveryFailure" and one["status"] == "True" for one in conditions)


def deletable(client: ApiClient, *, namespaced: bool = True) -> list[tuple[str, str]]:
    """The collections whose objects can be listed and deleted, as path prefix and plural.

    Those of unavailable aggregated APIs are omitted.
    """
    prefixes = ["/api/v1"]
    prefixes += [f"/apis/{group['preferredVersion']['groupVersion']}" for group in client.get("/apis")["groups"]]
    found = []
    for prefix in prefixes:
        try:
            resources = client.get(prefix)["resources"]
        except ApiFailure as failure:
            if failure.code not in (404, 503):  # its definition was deleted in the meantime, or nothing serves it
                raise
            continue
        found += [
            (prefix, resource["name"])
            for resource in resources
            if resource["namespaced"] == namespaced and {"list", "delete"} <= set(resource["verbs"])
        ]
    return found
