"""The objects of each option on a real API server: in the order of their files, each at the first try, twice."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.catalog import Catalog
from kubernetes_rehearsal.binaries import find
from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.interface import ADMINISTRATOR
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from kubernetes_rehearsal.objects import path_of
from stacks.manifests import write_manifests
from tests.kubeflow_options import OPTIONS, Platform

FOUND = find(os.environ)
pytestmark = pytest.mark.skipif(not FOUND, reason="kube-apiserver is not built; run make kube-apiserver")
BY_CHARTS = ("base/cert_manager", "base/secrets_store", "edge/istio", "edge/load_balancer_controller")
"""Components whose kinds come with an add-on or a Helm chart, which have no files."""
APPLY = "?fieldManager=test&fieldValidation=Strict"


@pytest.fixture(scope="module")
def server() -> Iterator[KubeApiServer]:
    made = KubeApiServer(FOUND)
    made.start(lambda given: ADMINISTRATOR if given == "token" else None)
    yield made
    made.stop()


@pytest.fixture(params=OPTIONS)
def cluster(
    request: pytest.FixtureRequest, server: KubeApiServer, tmp_path: Path
) -> Iterator[tuple[ApiClient, list[Any]]]:
    """An API that has the kinds of charts, and the objects of an option in the order of their files."""
    platform = Platform(tmp_path, request.param, identity="pod_identity", more=True)
    files = write_manifests(platform.synthesis, tmp_path / "manifests")
    objects = [one for file in files if file.parent.name == "training" for one in yaml.safe_load_all(file.read_text())]
    client = ApiClient(server.create_cluster(request.param, FOUND[-1].minor), "token")
    catalog = Catalog.load()
    for definition in (found for name in BY_CHARTS for found in catalog.definitions(name)):
        apply(client, dict(definition))
    yield client, objects
    client.close()
    server.delete_cluster(request.param)


def apply(api: ApiClient, found: dict[str, Any]) -> Any:
    answer = api.request("PATCH", f"{path_of(api, found)}{APPLY}", found, APPLY_PATCH)
    if found["kind"] == "CustomResourceDefinition":
        wait_for_kind(api, found)
    return answer


def wait_for_kind(api: ApiClient, definition: dict[str, Any]) -> None:
    group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
    (stored,) = [version["name"] for version in definition["spec"]["versions"] if version["storage"]]
    for _ in range(200):
        try:
            api.get(f"/apis/{group}/{stored}/{plural}?limit=1")
            return
        except ApiFailure:
            time.sleep(0.05)
    raise AssertionError(f"{definition['metadata']['name']} is not served")


@pytest.mark.promise("deployment-options")
def test_every_object_is_accepted_at_the_first_try_and_a_second_one_changes_none(
    cluster: tuple[ApiClient, list[Any]],
) -> None:
    api, objects = cluster
    assert len(objects) > 300
    for one in objects:
        apply(api, one)
    changed = []
    for one in objects:
        before = content(api.get(path_of(api, one)))
        if before != content(apply(api, one)):
            changed.append(f"{one['kind']} {one['metadata']['name']}")
    assert changed == []


def content(found: dict[str, Any]) -> dict[str, Any]:
    """The object without its status. Its generation also counts changes that store the same content."""
    about = {key: found["metadata"].get(key) for key in ("labels", "annotations", "generation")}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": about}
