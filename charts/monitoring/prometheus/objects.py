"""A highly available pair of Prometheus servers, run by the Prometheus operator.

https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.Prometheus
"""

import json
from dataclasses import dataclass
from typing import Any

from constructs import Construct

from charts.kit import network
from charts.kit.chart import ComponentChart
from charts.kit.monitoring import (
    ADAPTER,
    ALERTMANAGER,
    GRAFANA,
    GROUP,
    KEDA,
    KEDA_OPERATOR,
    NAMESPACE,
    NO_SIDECAR,
    PROMETHEUS,
    SPARK_PORT,
    prometheus_rule,
    scraped,
    service_monitor,
)
from charts.kit.objects import Manifest, metadata, selector
from charts.kit.rbac import access, rule
from charts.kit.security import NOBODY, run_as
from charts.kit.workloads import CLUSTER_CRITICAL, disruption_budget, resources, service, spread
from charts.monitoring.prometheus.rule_files import PLATFORM_NAMESPACES, Rules, rule_groups

INSTANCE = "platform"
_REPLICAS = 2
_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_AUTHORITY = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
_SCRAPES = "prometheus-scrapes"
_FULL = 0.85  # of the volume; the write-ahead log and compaction need the rest
_SAMPLES = 250_000
_SPARK_SERIES = "(disk|memory)Used_bytes|maxMemory_bytes|(active|failed|completed)Tasks.*|total(GCTime|Duration)_.*"

_CLUSTER_RULES = [
    rule("", "nodes pods services"),
    rule("discovery.k8s.io", "endpointslices"),
    rule("", "nodes/metrics", "get"),
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
]


@dataclass(frozen=True, kw_only=True)
class RemoteWrite:
    """A workspace of Amazon Managed Service for Prometheus that receives every sample, too.

    Requests are signed by the role of the service account ``prometheus``, which needs ``aps:RemoteWrite``.

    :param url: of the workspace's remote write API.
    """

    url: str
    region: str


class Prometheus(ComponentChart):
    """Two Prometheus servers with the same targets and rules, in different Availability Zones.

    Each keeps its own series on its own volume; when one restarts, the other still evaluates alerts, and Alertmanager
    sends each alert once. Platform components are scraped by the monitors in their namespaces, nodes and proxies of the
    mesh by static jobs.

    Teams may create monitors and rules. A monitor finds only targets of its own namespace, cannot make Prometheus read
    a file, and its series get that namespace as a label; a team's rule sees only such series.

    :param image: image of Prometheus.
    :param version: of that image, such as ``3.12.0``.
    :param cluster_name: label ``cluster`` of every series and alert that leaves this cluster.
    :param retention_days: time that series are kept. They are deleted earlier when the volume is 85 % full.
    :param storage_gib: size of the volume of each server.
    :param memory: memory of each server, about 3 kB for each active series.
    :param remote_write: Default: series stay in the cluster.
    :param rules: parameters of rules and alerts.
    :param kubelet_authority: file with the authority of the certificates of kubelets. Default: the cluster's, as on
        EKS; None: their certificates are not verified.
    :param keda: whether KEDA of this cluster may send queries.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        version: str,
        cluster_name: str,
        retention_days: int = 15,
        storage_gib: int = 50,
        memory: str = "2Gi",
        remote_write: RemoteWrite | None = None,
        rules: Rules | None = None,
        kubelet_authority: str | None = _AUTHORITY,
        keda: bool = False,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        server = {
            "image": image,
            "version": version,
            "externalLabels": {"cluster": cluster_name},
            **_pods(memory, placement),
            **_storage(retention_days, storage_gib),
            **_scraping(),
            **_alerting(),
            **_limits_of_teams(),
        }
        if remote_write:
            server["remoteWrite"] = [{"url": remote_write.url, "sigv4": {"region": remote_write.region}}]
        self.add(
            *access(PROMETHEUS, NAMESPACE, cluster=_CLUSTER_RULES),
            _static_jobs(kubelet_authority),
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "Prometheus",
                "metadata": metadata(INSTANCE, NAMESPACE),
                "spec": server,
            },
            service(PROMETHEUS, NAMESPACE, {"web": (9090, "web"), "reloader-web": (8080, "reloader-web")}),
            disruption_budget(PROMETHEUS, NAMESPACE),
            _clients(keda),
            service_monitor(PROMETHEUS, NAMESPACE, "web"),
            prometheus_rule(INSTANCE, NAMESPACE, rule_groups(rules)),
        )


def _pods(memory: str, placement: Manifest) -> dict[str, Any]:
    return {
        "replicas": _REPLICAS,
        "replicaExternalLabelName": "__replica__",  # by which the managed service removes duplicates
        "serviceAccountName": PROMETHEUS,
        "priorityClassName": CLUSTER_CRITICAL,
        "podMetadata": {"labels": NO_SIDECAR},
        "securityContext": run_as(NOBODY),
        "topologySpreadConstraints": [spread(PROMETHEUS)],
        "resources": resources(cpu="200m", memory=memory),
        **placement,
    }


def _storage(days: int, gib: int) -> dict[str, Any]:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{gib}Gi"}}}
    return {
        "retention": f"{days}d",
        "retentionSize": f"{int(gib * 1024 * _FULL)}MiB",
        "storage": {"volumeClaimTemplate": {"spec": claim}},
    }


def _scraping() -> dict[str, Any]:
    """Monitors and rules of every namespace, and the static jobs."""
    return {
        "scrapeInterval": "30s",
        "evaluationInterval": "30s",
        "serviceDiscoveryRole": "EndpointSlice",
        "serviceMonitorSelector": {},
        "serviceMonitorNamespaceSelector": {},
        "podMonitorSelector": {},
        "podMonitorNamespaceSelector": {},
        "ruleSelector": {},
        "ruleNamespaceSelector": {},
        "additionalScrapeConfigs": {"name": _SCRAPES, "key": "scrapes.yaml"},
    }


def _alerting() -> dict[str, Any]:
    manager = {"namespace": NAMESPACE, "name": ALERTMANAGER, "port": "web", "apiVersion": "v2"}
    return {"alerting": {"alertmanagers": [manager]}}


def _limits_of_teams() -> dict[str, Any]:
    """A monitor finds only its own namespace and reads no file; a rule sees only series of its own namespace."""
    return {
        "arbitraryFSAccessThroughSMs": {"deny": True},
        "ignoreNamespaceSelectors": True,
        "enforcedNamespaceLabel": "namespace",
        "excludedFromEnforcement": [
            {"group": GROUP, "resource": resource, "namespace": NAMESPACE}
            for resource in ("prometheusrules", "servicemonitors")
        ],
        "enforcedSampleLimit": _SAMPLES,
    }


def _static_jobs(kubelet_authority: str | None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",  # the operator takes it from a Secret only; it holds none
        "metadata": metadata(_SCRAPES, NAMESPACE),
        "stringData": {"scrapes.yaml": json.dumps(_scrapes(kubelet_authority), indent=1)},  # JSON is YAML
    }


def _clients(keda: bool) -> dict[str, Any]:
    """The network policy: the adapter, Grafana and KEDA send queries, and both servers scrape each other."""
    pods = [(NAMESPACE, ADAPTER), (NAMESPACE, GRAFANA), *([(KEDA, KEDA_OPERATOR)] if keda else [])]
    return network.takes(
        PROMETHEUS,
        NAMESPACE,
        network.allow(*(network.pods_of(place, selector(name)) for place, name in pods), ports=["web"]),
        scraped("web", "reloader-web"),
    )


def _scrapes(kubelet_authority: str | None) -> list[dict[str, Any]]:
    """Scrape jobs of every namespace: kubelets, containers, the API server, proxies of the mesh, drivers of Spark."""
    verified: dict[str, Any] = {"ca_file": kubelet_authority} if kubelet_authority else {"insecure_skip_verify": True}
    token: dict[str, Any] = {"authorization": {"type": "Bearer", "credentials_file": _TOKEN}}
    kubelet = {
        "scheme": "https",
        "tls_config": verified,
        **token,
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [_replace("__meta_kubernetes_node_name", "node")],
    }
    return [
        {"job_name": "kubelet", "metrics_path": "/metrics", **kubelet},
        {
            "job_name": "cadvisor",
            "metrics_path": "/metrics/cadvisor",
            "honor_timestamps": False,
            **kubelet,
            "metric_relabel_configs": [
                _drop("container_(blkio|memory_failures|tasks_state|ulimits).*", "__name__"),
                _drop(";;", "namespace", "pod", "container", name="container_(cpu|memory).*"),
            ],
        },
        {
            "job_name": "apiserver",
            "scheme": "https",
            "tls_config": {"ca_file": _AUTHORITY, "server_name": "kubernetes"},
            **token,
            "kubernetes_sd_configs": [{"role": "endpointslice", "namespaces": {"names": ["default"]}}],
            "relabel_configs": [
                _keep("kubernetes;https", "__meta_kubernetes_service_name", "__meta_kubernetes_endpointslice_port_name")
            ],
            "metric_relabel_configs": [
                _keep("aggregator_.*|apiserver_request_(total|duration_seconds_.*)|up|process_.*", "__name__")
            ],
        },
        {
            "job_name": "istio-proxies",
            "metrics_path": "/stats/prometheus",
            "kubernetes_sd_configs": [{"role": "pod"}],
            "relabel_configs": [
                _keep(".*-envoy-prom", "__meta_kubernetes_pod_container_port_name"),
                _drop("Pending|Succeeded|Failed", "__meta_kubernetes_pod_phase"),
                _replace("__meta_kubernetes_namespace", "namespace"),
                _replace("__meta_kubernetes_pod_name", "pod"),
            ],
            "metric_relabel_configs": [
                _keep("istio_(requests_total|request_duration_milliseconds_.*)", "__name__"),
                _replace("destination_canonical_service", "model"),
                _replace("destination_canonical_revision", "version"),
            ],
        },
        {
            "job_name": "spark-drivers",
            "metrics_path": "/metrics/executors/prometheus",  # of all executors, as they report to the driver
            "kubernetes_sd_configs": [{"role": "pod", "selectors": [{"role": "pod", "label": "spark-role=driver"}]}],
            "relabel_configs": [
                _keep(
                    f"Running;{SPARK_PORT}", "__meta_kubernetes_pod_phase", "__meta_kubernetes_pod_container_port_name"
                ),
                _replace("__meta_kubernetes_namespace", "namespace"),
                _replace("__meta_kubernetes_pod_name", "pod"),
            ],
            "metric_relabel_configs": [_keep(f"metrics_executor_({_SPARK_SERIES})", "__name__")],
        },
        model_servers(),
    ]


_POD, _SCRAPED_PORTS = "__meta_kubernetes_pod", ("annotation_prometheus_kserve_io", "annotation_prometheus_io")
_OF_REQUESTS = "seldon_api_executor_server_requests|rest_server_request_duration|request_predict|http_request_duration"
"""Histograms of requests: of Seldon's executor, MLServer, KServe's own servers, and by convention of others."""


def model_servers() -> dict[str, Any]:
    """The scrape job of servers outside the mesh, which no proxy measures.

    A pod takes part with the annotation ``prometheus.io/scrape``, as ``ModelServer`` and Seldon Core write it, or as a
    predictor of KServe. Histograms of requests get one name, so that rules read them from every kind of server.
    """
    return {
        "job_name": "model-servers",
        "sample_limit": _SAMPLES,
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [
            _keep("true;.*|.*;predictor", f"{_POD}_annotation_prometheus_io_scrape", f"{_POD}_label_component"),
            _keep(
                "true;seldon-container-engine|;.*",  # the executor alone receives each request once
                f"{_POD}_labelpresent_seldon_deployment_id",
                f"{_POD}_container_name",
            ),
            _drop("true", f"{_POD}_annotationpresent_sidecar_istio_io_status"),
            _drop(PLATFORM_NAMESPACES, "__meta_kubernetes_namespace"),
            _drop("Pending|Succeeded|Failed", f"{_POD}_phase"),
            _keep(
                "[0-9]*;[0-9]+;.*|[0-9]+;;.*|;;metrics",
                *(f"{_POD}_{source}_port" for source in _SCRAPED_PORTS),
                f"{_POD}_container_port_name",
            ),
            *(
                {**_copy("__address__", f"{_POD}_ip", f"{_POD}_{source}_port", regex="(.+:[0-9]+)"), "separator": ":"}
                for source in _SCRAPED_PORTS
            ),
            *(_copy("__metrics_path__", f"{_POD}_{source}_path") for source in _SCRAPED_PORTS),
            _replace("__meta_kubernetes_namespace", "namespace"),
            _replace(f"{_POD}_name", "pod"),
            *(
                _copy("model", f"{_POD}_label_{label}")
                for label in ("seldon_deployment_id", "app_kubernetes_io_name", "serving_kserve_io_inferenceservice")
            ),
            *(
                _copy("version", f"{_POD}_label_{label}")
                for label in ("app_kubernetes_io_version", "mlplatform_predictor")
            ),
        ],
        "metric_relabel_configs": [
            _drop("(status|metadata|feedback)", "service", name="seldon_api_executor_server_requests_seconds.*"),
            _drop(".*/(live|ready)", "path", name="rest_server_.*"),
            *(_copy("response_code", label) for label in ("status", "status_code", "code")),
            {
                **_copy("__name__", "__name__", regex=f"(?:{_OF_REQUESTS})_seconds_(bucket|count|sum)"),
                "replacement": "model_request_seconds_$1",
            },
        ],
    }


def _copy(target: str, *sources: str, regex: str = "(.+)") -> dict[str, Any]:
    """Where the sources have a value, it becomes that of the target."""
    return {"source_labels": [*sources], "regex": regex, "target_label": target}


def _replace(source: str, target: str) -> dict[str, Any]:
    return {"source_labels": [source], "target_label": target}


def _keep(regex: str, *labels: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [*labels], "regex": regex}


def _drop(regex: str, *labels: str, name: str = "") -> dict[str, Any]:
    """Drop what matches; with ``name`` only series whose name matches that, too."""
    if name:
        return {"action": "drop", "source_labels": ["__name__", *labels], "regex": f"{name};{regex}"}
    return {"action": "drop", "source_labels": [*labels], "regex": regex}
