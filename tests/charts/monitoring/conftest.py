"""The API of a stand-in cluster with the definitions that the objects of monitoring need."""

import secrets
from collections.abc import Iterator

import pytest

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.standin import StandIn
from tests.charts.monitoring.components import CATALOG, OPERATOR

DEFINING = (OPERATOR, "base/cert_manager", "edge/istio")


@pytest.fixture(scope="session")
def api() -> Iterator[ApiClient]:
    """The API of a stand-in cluster with definitions, and with the namespaces that other components create."""
    kubernetes, token = StandIn(), secrets.token_urlsafe()
    kubernetes.start(lambda given: ADMINISTRATOR if given == token else None)
    client = ApiClient(kubernetes.create_cluster("training", "1.35"), token)
    for component in DEFINING:
        for definition in CATALOG.definitions(component):
            client.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", dict(definition))
    client.request("POST", "/api/v1/namespaces", {"metadata": {"name": "kubeflow"}})
    yield client
    client.close()
    kubernetes.stop()
