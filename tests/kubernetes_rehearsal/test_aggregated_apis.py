"""Aggregated APIs on a kube-apiserver without nodes, which checks by itself whether they answer."""

import tempfile
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from kubernetes_rehearsal.aggregated_apis import discovery
from kubernetes_rehearsal.certificates import CertificateAuthority
from tests.charts.monitoring.components import CATALOG, all_objects
from tests.kubernetes_rehearsal.kubernetes_apis import Programs, cluster, needs_kube_apiserver

GROUP = "figures.example.com"
NAMESPACE = "figures"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A cluster whose files are so deep that the path of a socket would not fit."""
    deep = tmp_path_factory.mktemp("deep") / ("d" * 100)
    deep.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(deep))
        with cluster("kube-apiserver") as access:
            yield Programs(access, tmp_path_factory.mktemp("programs"))


def api_service(name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1.{name}.{GROUP}"},
        "spec": {
            "group": f"{name}.{GROUP}",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": name, "namespace": namespace, "port": 443},
        },
    }


def served(name: str) -> list[dict[str, Any]]:
    """An aggregated API with its namespace, Service and workload, as a chart has them."""
    labels = {"app": name}
    place = {"name": name, "namespace": NAMESPACE}
    pod = {"containers": [{"name": "main", "image": "example.com/main:1"}]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": labels, "ports": [{"name": "https", "port": 443, "targetPort": "https"}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": place,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        api_service(name),
    ]


def until_available(programs: Programs, name: str, seconds: int) -> str:
    wait = ["wait", "--for=condition=Available", f"apiservice/v1.{name}.{GROUP}", f"--timeout={seconds}s"]
    return programs.kubectl(*wait).text


@needs_kube_apiserver
def test_an_aggregated_api_becomes_available_and_stays_so(programs: Programs) -> None:
    objects = served("steady")
    assert programs.kubectl("apply", given=objects).status == 0
    assert "condition met" in until_available(programs, "steady", 60)
    shown = ["get", "apiservice", f"v1.steady.{GROUP}", "--output=jsonpath={.status.conditions[0]['status','reason']}"]
    assert [programs.kubectl(*shown).text for _ in range(10)] == ["True Passed"] * 10
    again = programs.kubectl("apply", given=objects).text
    assert again.count("unchanged") == len(objects)


@needs_kube_apiserver
def test_discovery_has_no_error_and_a_namespace_is_deleted_while_an_aggregated_api_exists(programs: Programs) -> None:
    assert programs.kubectl("apply", given=served("present")).status == 0
    assert "condition met" in until_available(programs, "present", 60)
    assert programs.kubectl("api-resources").status == 0
    assert '"resources":[]' in programs.kubectl("get", "--raw", f"/apis/present.{GROUP}/v1").text.replace(" ", "")
    assert programs.kubectl("create", "namespace", "brief").status == 0
    assert programs.kubectl("delete", "namespace", "brief", "--timeout=60s").status == 0


@needs_kube_apiserver
def test_an_aggregated_api_without_a_workload_stays_unavailable(programs: Programs) -> None:
    namespace, service, _, aggregated = served("idle")
    assert programs.kubectl("apply", given=[namespace, service, aggregated]).status == 0
    assert "timed out" in until_available(programs, "idle", 3)
    assert programs.kubectl("delete", given=[aggregated]).status == 0


@needs_kube_apiserver
def test_an_aggregated_api_with_another_authority_is_not_trusted(programs: Programs) -> None:
    *others, foreign = served("strange")
    foreign["spec"]["caBundle"] = b64encode(CertificateAuthority("other").pem.encode()).decode()
    assert programs.kubectl("apply", given=[*others, foreign]).status == 0
    assert "condition met" in until_available(programs, "strange", 60)  # the check itself verifies no certificate
    assert "ServiceUnavailable" in programs.kubectl("get", "--raw", f"/apis/strange.{GROUP}/v1").text
    assert programs.kubectl("delete", given=[foreign]).status == 0


@needs_kube_apiserver
@pytest.mark.promise("no-leftovers")
def test_monitoring_with_its_metrics_apis_is_installed_and_removed_without_nodes(programs: Programs) -> None:
    """In the order of the platform's manifests: the APIs last, and first when they are deleted."""
    defining = ("monitoring/prometheus_operator", "base/cert_manager", "edge/istio")
    definitions = [definition for component in defining for definition in CATALOG.definitions(component)]
    controllers = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubeflow"}}
    objects = [controllers, *(one for _, objects in all_objects() for one in objects)]
    metrics = [one for one in objects if one["kind"] == "APIService"]
    others = [one for one in objects if one["kind"] != "APIService"]
    established = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]
    available = ["wait", "--for=condition=Available", "--timeout=60s"]

    assert programs.kubectl("apply", "--server-side", given=definitions).status == 0
    assert programs.kubectl(*established).status == 0
    for _ in range(2):
        assert programs.kubectl("apply", "--server-side", given=others).status == 0
        assert programs.kubectl("apply", "--server-side", given=metrics).status == 0
        assert programs.kubectl(*available, *(f"apiservice/{one['metadata']['name']}" for one in metrics)).status == 0
    assert [one["metadata"]["name"] for one in metrics] == ["v1beta1.custom.metrics.k8s.io"]
    for removed in (metrics, others[::-1], definitions):
        assert programs.kubectl("delete", "--timeout=90s", given=removed).status == 0
    left = programs.kubectl("get", "namespaces", "--output=name").text
    assert "monitoring" not in left
    assert "namespace/kubeflow" not in left


def test_only_a_group_and_version_have_resources() -> None:
    assert discovery("/apis/a.example.com/v1?timeout=32s") == {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "a.example.com/v1",
        "resources": [],
    }
    assert discovery("/apis/a.example.com/v1/namespaces/x/pods") is None
    assert discovery("/openapi/v3") is None
