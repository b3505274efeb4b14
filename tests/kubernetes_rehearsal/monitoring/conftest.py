"""Monitoring on a real node: the operator, Prometheus, Alertmanager, the adapter and the node exporter as deployed."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import cdk8s
import pytest

from charts.kit.monitoring import NAMESPACE, NODES_NAMESPACE, PROMETHEUS_URL
from charts.kit.network import allow, network_policy
from charts.kit.objects import namespace
from charts.monitoring.alertmanager.objects import Receiver
from charts.serving.keda.objects import NAMESPACE as KEDA
from charts.serving.keda.objects import Keda
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import missing_for_nodes
from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient, ApiFailure
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.proofs.components import Component, install
from kubernetes_rehearsal.proofs.workloads import WorkloadReport, check_workloads
from mlplatform_constructs.charts import ComponentChart, Resources
from mlplatform_constructs.serving import ModelServer, ScaleFromZero, Trigger
from rehearsal.real_cluster import real_cluster
from tests.charts.monitoring.components import CATALOG, OPERATOR, objects_of

RUNNING = ("prometheus-operator", "prometheus-config-reloader", "prometheus", "alertmanager", "prometheus-adapter")
IMAGES = [CATALOG.images.reference(name) for name in (*RUNNING, "node-exporter")]
KEDA_IMAGES = [
    CATALOG.images.reference(name) for name in ("keda-operator", "keda-metrics-apiserver", "keda-admission-webhooks")
]
SHELL = "docker.io/library/busybox:1.36.1"
SHOP = "shop"
"""The namespace of a team."""
GPU = "nvidia.com/gpu"
_SECONDS = 240
_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "ebs.csi.aws.com",
    "volumeBindingMode": "WaitForFirstConsumer",
}
_SCRIPTS = {
    "queue": "cat /data/queue 2>/dev/null || echo autoscaling_orders_waiting 0",
    "set": 'echo "autoscaling_orders_waiting $QUERY_STRING" > /data/queue',
    "alerts": "cat >> /data/alerts; echo >> /data/alerts",
    "received": "cat /data/alerts 2>/dev/null",
}
"""A business metric that tests change, and a receiver of notifications that they read."""


@dataclass(frozen=True)
class Monitored:
    """A cluster with monitoring."""

    api: ApiClient
    report: WorkloadReport

    def get(self, service: str, path: str) -> str:
        """What a Service answers, through the API server."""
        where, _, name = service.partition("/")
        return self.api.text(f"/api/v1/namespaces/{where}/services/{name}/proxy/{path}")

    def prometheus(self, path: str) -> Any:
        """The data of an answer of Prometheus."""
        answer = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/prometheus:web/proxy/api/v1/{path}")
        assert answer["status"] == "success"
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        """The series of an instant query."""
        found: list[Any] = self.prometheus(f"query?query={quote(expression)}")["result"]
        return found

    def series(self, expression: str) -> list[Any]:
        """The series of an instant query, once one of the two servers of Prometheus has any."""
        found: list[Any] = []

        def is_there() -> list[Any]:
            found[:] = self.query(expression)
            return found

        self.wait(is_there, f"{expression} has a series")
        return found

    def wait(self, condition: Callable[[], Any], what: str, *, seconds: float = 90) -> float:
        """Seconds until a condition holds."""
        started = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - started
            except ApiFailure as failure:
                if failure.code < 404:
                    raise
            if time.monotonic() - started > seconds:
                raise AssertionError(f"not after {seconds} s: {what}")
            time.sleep(0.5)


@pytest.fixture(scope="module")
def monitored() -> Iterator[Monitored]:
    """A cluster of one node with monitoring, and a team's namespace with a business metric."""
    lacks = [*missing_for_nodes(), *(image for image in (*IMAGES, SHELL) if programs.why_missing(image))]
    if lacks:
        pytest.skip(f"needs {', '.join(lacks)}; run `make programs`")
    with real_cluster(NodeSettings("node-1", cpus=8, memory_mib=16384)) as cluster:
        api = cluster.api
        install(api, _component())
        _await_prometheus(api)
        install(api, Component("adapter", (), _charts("prometheus_adapter")))  # it repeats an error until that answers
        report = check_workloads(api, [NAMESPACE, NODES_NAMESPACE, SHOP], bound_seconds=_SECONDS)
        yield Monitored(api, report)


@pytest.fixture(scope="module")
def keda(monitored: Monitored) -> WorkloadReport:
    """KEDA, and a model server that needs a GPU, of which the node offers one."""
    if lacks := [image for image in KEDA_IMAGES if programs.why_missing(image)]:
        pytest.skip(f"run python -m kubernetes_rehearsal.programs {' '.join(lacks)}")
    api, app = monitored.api, cdk8s.App()
    (node,) = api.items("/api/v1/nodes")
    path = f"/api/v1/nodes/{node['metadata']['name']}"
    offered = {"capacity": {GPU: "1"}, "allocatable": {GPU: "1"}}
    api.request("PATCH", f"{path}/status", {"status": offered}, MERGE_PATCH)
    api.request("PATCH", path, {"metadata": {"labels": {"mlplatform/accelerator": "nvidia"}}}, MERGE_PATCH)
    chart = Keda(app, "Keda", images=CATALOG.images, teams=[SHOP], placement={})
    install(api, Component("serving/keda", CATALOG.definitions("serving/keda"), chart.to_json()))
    report = check_workloads(api, [KEDA], bound_seconds=_SECONDS)
    install(api, Component("server", (), gpu_server(app)))
    return report


def gpu_server(app: cdk8s.App) -> list[Mapping[str, Any]]:
    """A model server without a replica while no order waits."""
    query = f'max(autoscaling_orders_waiting{{namespace="{SHOP}"}})'
    waiting = Trigger.prometheus(query, per_replica=1000, server=PROMETHEUS_URL)
    made = ModelServer(
        ComponentChart(app, "models"),
        "Scorer",
        name="scorer",
        namespace=SHOP,
        image=SHELL,
        port=8080,
        health="/hostname",
        metrics_path=None,
        resources=Resources(cpu="50m", memory="64Mi", scratch="64Mi", gpus=1),
        replicas=ScaleFromZero(most=1, triggers=(waiting,), idle_seconds=5, poll_seconds=2),
        placement={"nodeSelector": {"mlplatform/accelerator": "nvidia"}},
    )
    objects = [one for one in made.objects() if "istio" not in one["apiVersion"]]  # no mesh runs here
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["command"] = ["httpd", "-f", "-p", "8080", "-h", "/etc"]
    return objects


def _await_prometheus(api: ApiClient) -> None:
    """Both servers of Prometheus, which the operator creates once it runs, are ready, and their Service answers."""
    until = time.monotonic() + _SECONDS
    while not _answers(api):
        if time.monotonic() > until:
            raise AssertionError(f"Prometheus does not answer after {_SECONDS} s")
        time.sleep(0.5)


def _answers(api: ApiClient) -> bool:
    try:
        found = api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/prometheus-platform")
        api.text(f"/api/v1/namespaces/{NAMESPACE}/services/prometheus:web/proxy/-/ready")
    except ApiFailure as failure:
        if failure.code not in (404, 500, 502, 503):
            raise
        return False
    return bool(found["status"].get("readyReplicas") == found["spec"]["replicas"])


def _component() -> Component:
    """Everything but the adapter."""
    charts = _charts("prometheus_operator", "prometheus", "alertmanager", "node_exporter")
    base = [one for one in objects_of("monitoring/monitoring_base") if one["kind"] != "ServiceMonitor"]
    definitions = [*CATALOG.definitions(OPERATOR), *CATALOG.definitions("base/cert_manager")]
    return Component("monitoring", definitions, [_CLASS, *base, *_tests_own(), *charts])


def _charts(*names: str) -> list[Mapping[str, Any]]:
    changes: dict[str, dict[str, Any]] = {
        "prometheus": {"remote_write": None, "memory": "400Mi", "keda": True},
        "alertmanager": {
            "receiver": Receiver.webhook(f"http://queue.{SHOP}.svc.cluster.local:8080/cgi-bin/alerts"),
            "routes": (),
            "group_seconds": 1,
        },
        "prometheus_adapter": {"relist_seconds": 5},
    }
    return [one for name in names for one in objects_of(f"monitoring/{name}", **changes.get(name, {}))]


def _tests_own() -> list[Mapping[str, Any]]:
    """What tests look at, and the eyes by which they do: the API server's proxy, which no policy names."""
    return [
        *(
            network_policy(
                f"eyes-{name}", NAMESPACE, pods={"app.kubernetes.io/name": name}, ingress=[allow(ports=[port])]
            )
            for name, port in (("prometheus", 9090), ("alertmanager", 9093))
        ),
        namespace(SHOP),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "scripts", "namespace": SHOP},
            "data": {
                name: f"#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n{do}\n" for name, do in _SCRIPTS.items()
            },
        },
        _workload("queue", ["httpd", "-f", "-p", "8080", "-h", "/www"]),
        _workload("worker", ["sleep", "86400"]),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "queue", "namespace": SHOP, "labels": {"app": "queue"}},
            "spec": {"selector": {"app": "queue"}, "ports": [{"name": "metrics", "port": 8080}]},
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": {"name": "queue", "namespace": SHOP},
            "spec": {
                "selector": {"matchLabels": {"app": "queue"}},
                "endpoints": [{"port": "metrics", "path": "/cgi-bin/queue", "interval": "2s", "scrapeTimeout": "2s"}],
            },
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "orders", "namespace": SHOP},
            "spec": {
                "groups": [
                    {
                        "name": "orders",
                        "interval": "2s",
                        "rules": [{"alert": "OrdersWaiting", "expr": "autoscaling_orders_waiting > 300"}],
                    }
                ]
            },
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "worker", "namespace": SHOP},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [
                    {
                        "type": "Object",
                        "object": {
                            "describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": SHOP},
                            "metric": {"name": "autoscaling_orders_waiting"},
                            "target": {"type": "AverageValue", "averageValue": "100"},
                        },
                    }
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            },
        },
    ]


def _workload(name: str, command: list[str]) -> dict[str, Any]:
    container = {
        "name": name,
        "image": SHELL,
        "command": command,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "scripts", "mountPath": "/www/cgi-bin"}, {"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "scripts", "configMap": {"name": "scripts", "defaultMode": 0o755}},
            {"name": "data", "emptyDir": {}},
        ],
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
