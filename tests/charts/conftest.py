"""The API of a stand-in cluster, for tests of objects and definitions."""

import secrets
from collections.abc import Iterator

import pytest

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.standin import StandIn


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    """The API of a stand-in cluster without objects."""
    kubernetes, token = StandIn(), secrets.token_urlsafe()
    kubernetes.start(lambda given: ADMINISTRATOR if given == token else None)
    client = ApiClient(kubernetes.create_cluster("training", "1.35"), token)
    yield client
    client.close()
    kubernetes.stop()
