"""A real Prometheus scrapes servers of every kind by the platform's job, and the rules measure all of them alike."""

import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml

from charts.monitoring.prometheus.objects import model_servers
from charts.monitoring.prometheus.rule_files import rule_groups
from tests.charts.monitoring.replay import Replay, missing, serving

_POD = "__meta_kubernetes_pod"
_SECONDS = 60
_ASKED = itertools.count()
SCRAPED = {f"{_POD}_annotation_prometheus_io_scrape": "true"}
PORT, OTHER_PORT = "{port}", "9"
SERVERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "seldon": (
        "seldon_api_executor_server_requests_seconds",
        'service="predictions",deployment_name="seldon",code="{code}"',
        {
            **SCRAPED,
            f"{_POD}_annotation_prometheus_io_path": "/seldon",
            f"{_POD}_labelpresent_seldon_deployment_id": "true",
            f"{_POD}_label_seldon_deployment_id": "seldon",
            f"{_POD}_label_mlplatform_predictor": "canary",
            f"{_POD}_container_name": "seldon-container-engine",
            f"{_POD}_container_port_name": "metrics",
        },
    ),
    "plain": (
        "http_request_duration_seconds",
        'status="{code}"',
        {
            **SCRAPED,
            f"{_POD}_annotation_prometheus_io_port": PORT,
            f"{_POD}_annotation_prometheus_io_path": "/plain",
            f"{_POD}_label_app_kubernetes_io_name": "plain",
            f"{_POD}_label_app_kubernetes_io_version": "3",
        },
    ),
    "kserve": (
        "rest_server_request_duration_seconds",
        'path="/v2/models/kserve/infer",status_code="{code}"',
        {
            f"{_POD}_label_component": "predictor",
            f"{_POD}_label_serving_kserve_io_inferenceservice": "kserve",
            f"{_POD}_label_app_kubernetes_io_version": "2",
            f"{_POD}_annotation_prometheus_kserve_io_port": PORT,
            f"{_POD}_annotation_prometheus_kserve_io_path": "/kserve",
        },
    ),
}
"""By model: the histogram of its server, the labels of requests, and what Kubernetes reports of the pod."""
VERSIONS = {"seldon": "canary", "plain": "3", "kserve": "2"}
LEFT_OUT = {
    "in the mesh": {**SCRAPED, f"{_POD}_annotationpresent_sidecar_istio_io_status": "true"},
    "of the platform": {**SCRAPED, "__meta_kubernetes_namespace": "kube-system"},
    "without the annotation": {f"{_POD}_annotation_prometheus_io_port": PORT},
    "on another port": {**SCRAPED, f"{_POD}_container_port_name": "http"},
    "ended": {**SCRAPED, f"{_POD}_annotation_prometheus_io_port": PORT, f"{_POD}_phase": "Succeeded"},
    "another container of Seldon": {**SERVERS["seldon"][2], f"{_POD}_container_name": "classifier"},
}


class _Metrics(BaseHTTPRequestHandler):
    """Nine of ten requests take 0.2 s and succeed, the tenth takes 0.8 s and fails; more of them each time."""

    def do_GET(self) -> None:
        name, labels, _ = SERVERS[self.path.strip("/")]
        asked, lines = 100 * next(_ASKED), []
        for code, share, limit, seconds in (("200", 9, "0.25", 0.2), ("500", 1, "1.0", 0.8)):
            counted, own = asked * share, labels.format(code=code)
            lines += [f'{name}_bucket{{{own},le="{one}"}} {counted * (float(one) >= float(limit))}' for one in _LIMITS]
            lines += [f"{name}_count{{{own}}} {counted}", f"{name}_sum{{{own}}} {counted * seconds}"]
        unmeasured = labels.replace("predictions", "feedback").replace("/infer", "/ready").format(code="500")
        if unmeasured != labels.format(code="500"):
            lines.append(f"{name}_count{{{unmeasured}}} {1000 * asked}")
        body = "\n".join([f"# TYPE {name} histogram", *lines, ""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


_LIMITS = ("0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")


def _target(found: dict[str, str], name: str, port: int) -> dict[str, Any]:
    about = {
        "__meta_kubernetes_namespace": "fraud",
        f"{_POD}_name": f"{name}-1",
        f"{_POD}_ip": "127.0.0.1",
        f"{_POD}_phase": "Running",
    }
    labels = {key: value.format(port=port) for key, value in {**about, **found}.items()}
    own_port = f"{_POD}_container_port_name" in found
    return {"targets": [f"127.0.0.1:{port if own_port else OTHER_PORT}"], "labels": labels}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """Prometheus with the job and the rules, and a pod for each kind of server, described as Kubernetes does it."""
    if lacks := missing():
        pytest.skip(f'needs {", ".join(lacks)}; run `make programs NAMES="{" ".join(lacks)}"`')
    folder = tmp_path_factory.mktemp("servers")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pods = {**{name: labels for name, (_, _, labels) in SERVERS.items()}, **LEFT_OUT}
    job = {key: value for key, value in model_servers().items() if key != "kubernetes_sd_configs"}
    job["static_configs"] = [_target(labels, name, server.server_port) for name, labels in pods.items()]
    groups = [{**group, "interval": "1s"} for group in rule_groups() if group["name"] == "serving"]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    configuration = {
        "global": {"scrape_interval": "1s"},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [job],
    }
    with serving(folder, folder / "data", configuration) as prometheus:
        yield prometheus
    server.shutdown()


def by_model(scraped: Replay, query: str) -> dict[tuple[str, str], float]:
    """Values by model and version, once every model has one that is a number."""
    until = time.monotonic() + _SECONDS
    while True:
        found = {
            (one["metric"]["model"], one["metric"].get("version", "")): float(one["value"][1])
            for one in scraped.query(query, at=int(time.time()))
        }
        if len(found) == len(SERVERS) and all(value == value for value in found.values()):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.5)


@pytest.mark.promise("scaling-by-metrics", "dashboards-and-alerts")
def test_servers_outside_the_mesh_are_scraped_and_no_other_pod(scraped: Replay) -> None:
    assert by_model(scraped, "up") == {(model, version): 1 for model, version in VERSIONS.items()}
    assert {one["metric"]["pod"] for one in scraped.query("up", at=int(time.time()))} == {
        f"{name}-1" for name in SERVERS
    }


@pytest.mark.promise("dashboards-and-alerts", "latency-objectives")
@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("model:errors:rate5m / model:requests:rate5m", 0.1),
        ("1 - model:fast_requests:rate5m / model:requests:rate5m", 0.1),
        ("model:error_ratio:rate1h", 0.1),
        ("model:latency_seconds:p50", 0.1833),
        ("model:latency_seconds:p99", 0.95),
    ],
)
def test_errors_and_latency_of_every_kind_of_server_are_measured_alike(
    scraped: Replay, query: str, value: float
) -> None:
    found = by_model(scraped, query)
    assert {model for model, _ in found} == set(SERVERS)
    assert list(found.values()) == pytest.approx([value] * len(found), abs=0.001)


@pytest.mark.promise("scaling-by-metrics")
def test_every_pod_has_the_metrics_of_autoscalers(scraped: Replay) -> None:
    by_model(scraped, "model:requests:rate5m")
    for name in ("pod:model_requests:rate2m", "pod:model_request_seconds:rate2m", "pod:model_latency_seconds:p95"):
        found = scraped.query(name, at=int(time.time()))
        assert {one["metric"]["pod"] for one in found} == {f"{each}-1" for each in SERVERS}
        assert all(float(one["value"][1]) > 0 for one in found), name
