"""The API server calls no stand-in: webhooks of stand-ins are skipped, and their aggregated APIs are empty."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.controllers import Controllers, Step
from kubernetes_rehearsal.nodes import empty_apis
from kubernetes_rehearsal.nodes.empty_apis import EmptyApis, is_empty
from kubernetes_rehearsal.nodes.stood_in_servers import StoodInServers
from tests.kubernetes_rehearsal.kubernetes_apis import client, cluster

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
APIS = "/apis/apiregistration.k8s.io/v1/apiservices"
SERVICE = {"name": "server", "namespace": "default"}
EMPTY = {"service": {"name": "rehearsal-apis", "namespace": "kube-system", "port": 443}, "caBundle": "YXV0aG9yaXR5"}


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    """A cluster with a Service, whose webhook and aggregated API nothing answers yet."""
    with cluster("stand-in") as access:
        made = client(access)
        spec = {"selector": {"app": "server"}, "ports": [{"port": 443}]}
        made.request("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "server"}, "spec": spec})
        made.request("POST", APIS, _aggregated("figures", {**SERVICE, "port": 443}))
        made.request("POST", WEBHOOKS, {"metadata": {"name": "server"}, "webhooks": [_webhook()]})
        yield made


def _aggregated(name: str, service: dict[str, Any]) -> dict[str, Any]:
    group = f"{name}.example.com"
    spec = {"group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "service": service}
    return {"metadata": {"name": f"v1.{group}"}, "spec": spec}


def _webhook() -> dict[str, Any]:
    rule = {"apiGroups": ["work.org"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    return {
        "name": "v.server.org",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": SERVICE},
        "rules": [rule],
        "sideEffects": "None",
    }


def _pod(api: ApiClient, name: str, **annotations: str) -> None:
    metadata = {"name": name, "labels": {"app": "server"}, "annotations": annotations}
    spec = {"containers": [{"name": "main", "image": "example.org/server:1"}]}
    api.request("POST", "/api/v1/namespaces/default/pods", {"metadata": metadata, "spec": spec})


def _reconcile(api: ApiClient) -> None:
    StoodInServers(api, api.request, EMPTY).reconcile()  # type: ignore[arg-type]


def _webhook_of(api: ApiClient) -> dict[str, Any]:
    (webhook,) = api.get(f"{WEBHOOKS}/server")["webhooks"]
    return webhook  # type: ignore[no-any-return]


def _api_of(api: ApiClient) -> dict[str, Any]:
    return api.get(f"{APIS}/v1.figures.example.com")


def test_a_server_without_pods_is_left_alone(api: ApiClient) -> None:
    _reconcile(api)
    webhook = _webhook_of(api)
    assert (webhook["timeoutSeconds"], "matchConditions" in webhook) == (30, False)
    assert _api_of(api)["spec"]["service"]["name"] == "server"


def test_a_server_with_a_pod_that_runs_is_left_alone(api: ApiClient) -> None:
    _pod(api, "one", **{"rehearsal.invalid/stored-only": "example.org/server:1"})
    _pod(api, "two")
    _reconcile(api)
    assert "matchConditions" not in _webhook_of(api)
    assert not is_empty(_api_of(api))
    api.request("DELETE", "/api/v1/namespaces/default/pods/two")


def test_webhooks_of_stand_ins_are_never_called_and_their_apis_are_empty(api: ApiClient) -> None:
    _reconcile(api)
    webhook = _webhook_of(api)
    assert [one["expression"] for one in webhook["matchConditions"]] == ["false"]
    assert webhook["clientConfig"]["caBundle"]
    changed = _api_of(api)
    assert is_empty(changed)
    assert changed["spec"] | EMPTY == changed["spec"]
    _reconcile(api)
    assert _api_of(api)["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


def test_the_empty_api_answers_under_the_name_of_its_service() -> None:
    apis = EmptyApis()
    context = ssl.create_default_context(cadata=base64.b64decode(apis.target["caBundle"]).decode())
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{apis.port}/apis/figures/v1", context=context) as answer:
            assert json.load(answer)["resources"] == []
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"https://127.0.0.1:{apis.port}/apis/figures/v1/things", context=context)
    finally:
        apis.stop()


def test_the_service_of_the_empty_api_has_an_endpoint_with_the_name_of_its_port() -> None:
    (_, service), (_, endpoints) = empty_apis.objects()
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    (port,), (endpoint_port,) = service["spec"]["ports"], endpoints["ports"]
    assert port["name"] == endpoint_port["name"]
    assert "selector" not in service["spec"]


@pytest.mark.parametrize("failure", [ApiFailure(409, "Conflict", "changed"), OSError("refused"), KeyError("spec")])
def test_a_step_of_a_controller_that_fails_does_not_stop_the_others(
    failure: Exception, api: ApiClient, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds: list[str] = []

    def fail() -> None:
        raise failure

    class Failing(Controllers):
        interval_seconds = 0.01

        def steps(self) -> tuple[Step, ...]:
            return fail, self._end

        def _end(self) -> None:
            rounds.append("done")
            if len(rounds) == 2:
                self._stopping.set()

    controllers = Failing(api, namespaces=False)
    controllers._thread.join(10)
    assert rounds == ["done", "done"]
    assert ("KeyError" in capsys.readouterr().err) == isinstance(failure, KeyError)
