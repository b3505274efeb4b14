"""Objects of the Prometheus operator: what is scraped, and which rules are evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any

from charts.kit import network
from charts.kit.objects import NAME_LABEL, PART_OF, Manifest, metadata, selector

NAMESPACE = "monitoring"
NODES_NAMESPACE = "monitoring-nodes"
"""Agents that read their node, which the restricted pod security level refuses."""
GROUP = "monitoring.coreos.com"
PROMETHEUS = "prometheus"
PROMETHEUS_URL = f"http://{PROMETHEUS}.{NAMESPACE}.svc.cluster.local:9090"
ALERTMANAGER = "alertmanager"
GRAFANA = "grafana"
ADAPTER = "prometheus-adapter"
KEDA, KEDA_OPERATOR = "keda", "keda-operator"
"""Namespace and name of the pods that send the queries of ScaledObjects to Prometheus."""
METRICS_PORT, PROXY_METRICS_PORT, SPARK_PORT = "metrics", 15090, "spark-ui"
"""Ports that are open to Prometheus in namespaces of teams: of containers, of proxies of the mesh, and the name that
Spark gives the port of a driver's pages."""
NO_SIDECAR = {"sidecar.istio.io/inject": "false"}
PROMETHEUS_PODS: Mapping[str, str] = selector(PROMETHEUS)
"""Labels that the operator gives the pods of Prometheus."""

_API = f"{GROUP}/v1"


def scraped(*ports: int | str) -> dict[str, Any]:
    """The rule of a network policy by which Prometheus reads metrics at these ports."""
    return network.allow(network.pods_of(NAMESPACE, PROMETHEUS_PODS), ports=ports)


def service_monitor(
    name: str,
    namespace: str,
    port: str,
    *,
    path: str = "/metrics",
    honor_labels: bool = False,
    relabelings: Sequence[Manifest] = (),
    **more: Any,
) -> dict[str, Any]:
    """Scrape all pods behind the Service ``name`` of the same namespace. The label ``job`` is the Service's name.

    :param port: name of the Service's port.
    :param honor_labels: whether labels in the metrics win over those of the target.
    :param relabelings: changes of the target's labels.
    :param more: additional fields of the endpoint, such as ``scheme``.
    """
    endpoint: dict[str, Any] = {"port": port, "path": path, **more}
    if honor_labels:
        endpoint["honorLabels"] = True
    if relabelings:
        endpoint["relabelings"] = [*relabelings]
    return {
        "apiVersion": _API,
        "kind": "ServiceMonitor",
        "metadata": metadata(name, namespace),
        "spec": {"selector": {"matchLabels": selector(name)}, "endpoints": [endpoint]},
    }


def pod_monitor(
    name: str, namespace: str, port: str, *, pods: Mapping[str, str] | None = None, path: str = "/metrics"
) -> dict[str, Any]:
    """Scrape pods of a namespace without a Service. Series get the label ``node``, ``job`` is the monitor's name.

    :param port: name of the container's port.
    :param pods: labels of the pods. Default: those of the workload ``name``.
    """
    return {
        "apiVersion": _API,
        "kind": "PodMonitor",
        "metadata": metadata(name, namespace),
        "spec": {
            "selector": {"matchLabels": dict(pods) if pods else selector(name)},
            "podMetricsEndpoints": [
                {
                    "port": port,
                    "path": path,
                    "relabelings": [
                        {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"},
                        {"targetLabel": "job", "replacement": name},
                    ],
                }
            ],
        },
    }


def platform_monitor(namespace: str) -> dict[str, Any]:
    """Scrape every controller of the platform in a namespace, by the port that :class:`charts.kit.controller` names."""
    return {
        "apiVersion": _API,
        "kind": "ServiceMonitor",
        "metadata": metadata("platform", namespace),
        "spec": {
            "selector": {"matchLabels": dict(PART_OF)},
            "jobLabel": NAME_LABEL,
            "endpoints": [{"port": "http-metrics", "path": "/metrics"}],
        },
    }


def prometheus_rule(name: str, namespace: str, groups: Sequence[Manifest]) -> dict[str, Any]:
    """Recording rules and alerts.

    :param groups: in Prometheus's own format.
    """
    return {
        "apiVersion": _API,
        "kind": "PrometheusRule",
        "metadata": metadata(name, namespace),
        "spec": {"groups": [*groups]},
    }
