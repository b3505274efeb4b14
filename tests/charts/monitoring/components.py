"""The charts of monitoring, as tests build them."""

import os
from collections.abc import Iterator
from typing import Any

import cdk8s
from constructs import Construct

from charts.catalog import Catalog
from charts.kit.chart import ComponentChart
from charts.monitoring.alertmanager.objects import Alertmanager, Receiver, Route
from charts.monitoring.dcgm_exporter.objects import DcgmExporter
from charts.monitoring.grafana.objects import Entry, Grafana, ManagedPrometheus
from charts.monitoring.kube_state_metrics.objects import KubeStateMetrics
from charts.monitoring.monitoring_base.objects import MonitoringBase
from charts.monitoring.node_exporter.objects import NodeExporter
from charts.monitoring.prometheus.objects import Prometheus, RemoteWrite
from charts.monitoring.prometheus_adapter.objects import PrometheusAdapter
from charts.monitoring.prometheus_operator.objects import PrometheusOperator

CATALOG = Catalog.load()
TOPIC = "arn:aws:sns:eu-west-1:111111111111:alarms"
WORKSPACE = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1"
OPERATOR = "monitoring/prometheus_operator"


def base(scope: Construct) -> ComponentChart:
    return MonitoringBase(scope, "Base", controllers=["kubeflow"])


def operator(scope: Construct) -> ComponentChart:
    return PrometheusOperator(
        scope,
        "Operator",
        image=CATALOG.images.reference("prometheus-operator"),
        reloader_image=CATALOG.images.reference("prometheus-config-reloader"),
        placement={},
    )


def prometheus(scope: Construct, **changes: Any) -> ComponentChart:
    settings: dict[str, Any] = {
        "image": CATALOG.images.reference("prometheus"),
        "version": "3.12.0",
        "cluster_name": "training",
        "remote_write": RemoteWrite(url=f"{WORKSPACE}/api/v1/remote_write", region="eu-west-1"),
        "placement": {},
        **changes,
    }
    return Prometheus(scope, "Prometheus", **settings)


def alertmanager(scope: Construct, **changes: Any) -> ComponentChart:
    topic = Receiver.topic(f"{TOPIC}-churn", region="eu-west-1")
    settings: dict[str, Any] = {
        "image": CATALOG.images.reference("alertmanager"),
        "version": "0.33.0",
        "receiver": Receiver.topic(TOPIC, region="eu-west-1"),
        "routes": [Route(name="churn", labels={"namespace": "churn"}, receiver=topic)],
        "placement": {},
        **changes,
    }
    return Alertmanager(scope, "Alertmanager", **settings)


def adapter(scope: Construct, **changes: Any) -> ComponentChart:
    image = CATALOG.images.reference("prometheus-adapter")
    return PrometheusAdapter(scope, "Adapter", image=image, placement={}, **changes)


def kube_state_metrics(scope: Construct) -> ComponentChart:
    image = CATALOG.images.reference("kube-state-metrics")
    return KubeStateMetrics(scope, "Objects", image=image, placement={})


def node_exporter(scope: Construct) -> ComponentChart:
    return NodeExporter(scope, "Nodes", image=CATALOG.images.reference("node-exporter"))


def dcgm_exporter(scope: Construct) -> ComponentChart:
    image = CATALOG.images.reference("dcgm-exporter")
    return DcgmExporter(scope, "Gpus", image=image, node_labels={"mlplatform/accelerator": "nvidia"})


def grafana(scope: Construct, **changes: Any) -> ComponentChart:
    settings: dict[str, Any] = {
        "image": CATALOG.images.reference("grafana"),
        "entry": Entry.gateway("kubeflow/kubeflow-gateway", user_header="kubeflow-userid"),
        "managed": ManagedPrometheus(url=WORKSPACE, region="eu-west-1"),
        "placement": {},
        **changes,
    }
    return Grafana(scope, "Grafana", **settings)


CHARTS = {
    "monitoring/monitoring_base": base,
    "monitoring/prometheus_operator": operator,
    "monitoring/prometheus": prometheus,
    "monitoring/alertmanager": alertmanager,
    "monitoring/prometheus_adapter": adapter,
    "monitoring/kube_state_metrics": kube_state_metrics,
    "monitoring/node_exporter": node_exporter,
    "monitoring/dcgm_exporter": dcgm_exporter,
    "monitoring/grafana": grafana,
}
"""How to build each component, by its name in the catalog, in the order of installation."""


def app() -> cdk8s.App:
    return cdk8s.App(outdir=os.devnull)


def objects_of(name: str, **changes: Any) -> list[Any]:
    """The objects of one component."""
    return list(CHARTS[name](app(), **changes).to_json())  # type: ignore[operator]


def all_objects() -> Iterator[tuple[str, list[Any]]]:
    """The objects of every component, by its name."""
    for name in CHARTS:
        yield name, objects_of(name)
