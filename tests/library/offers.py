"""The API of a stand-in cluster with the definitions that the platform installs."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from charts.catalog import Catalog
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.standin import StandIn

Offer = Callable[[dict[str, Any]], None]
CATALOG = Catalog.load()


@contextmanager
def offering(*areas: str) -> Iterator[Offer]:
    """Have the API check an object against the platform's definition of its kind, as strictly as ``kubectl`` does.

    :param areas: folders of charts whose definitions the cluster has.
    """
    kubernetes, token = StandIn(), secrets.token_urlsafe()
    kubernetes.start(lambda given: ADMINISTRATOR if given == token else None)
    client = ApiClient(kubernetes.create_cluster("training", "1.35"), token)
    for component in CATALOG.components.values():
        if component.name.startswith(tuple(f"{area}/" for area in areas)):
            for definition in component.definitions:
                client.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", dict(definition))

    def check(found: dict[str, Any]) -> None:
        if namespace := found["metadata"].get("namespace"):
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            client.request("PATCH", f"/api/v1/namespaces/{namespace}?fieldManager=test&force=true", space, APPLY)
        client.request("POST", f"{collection_of(client, found)}?dryRun=All&fieldValidation=Strict", found)

    yield check
    client.close()
    kubernetes.stop()


APPLY = "application/apply-patch+yaml"
