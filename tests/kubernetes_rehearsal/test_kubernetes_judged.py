"""The library's verdict on an object is that of kube-apiserver."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_rehearsal.client import APPLY_PATCH, ApiClient, ApiFailure
from tests.kubernetes_rehearsal.kubernetes_apis import client, cluster, needs_kube_apiserver

PATH = Path(__file__).parents[1] / "library" / "kubernetes" / "judged_objects.yaml"
JUDGED: dict[str, dict[str, Any]] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
pytestmark = needs_kube_apiserver


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    with cluster("kube-apiserver") as access:
        found = client(access)
        found.request("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "n"}}
        path = "/api/v1/namespaces/n/serviceaccounts/default?fieldManager=test"  # which a controller creates, too
        found.request("PATCH", path, account, APPLY_PATCH)
        yield found


def collection(api: ApiClient, body: dict[str, Any]) -> str:
    """Where objects of a kind are created."""
    version = body["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    (kind,) = [one for one in api.get(base)["resources"] if one["kind"] == body["kind"] and "/" not in one["name"]]
    namespace = f"/namespaces/{body['metadata']['namespace']}" if kind["namespaced"] else ""
    return f"{base}{namespace}/{kind['name']}?dryRun=All&fieldValidation=Strict"


@pytest.mark.promise("refused-objects")
@pytest.mark.parametrize("body", JUDGED["refused"].values(), ids=JUDGED["refused"])
def test_the_api_server_refuses_it_too(body: dict[str, Any], api: ApiClient) -> None:
    with pytest.raises(ApiFailure):
        api.request("POST", collection(api, body), body)


@pytest.mark.parametrize("body", JUDGED["accepted"].values(), ids=JUDGED["accepted"])
def test_the_api_server_accepts_it_too(body: dict[str, Any], api: ApiClient) -> None:
    api.request("POST", collection(api, body), body)
