"""The Prometheus adapter: series of Prometheus as metrics that a HorizontalPodAutoscaler can ask for.

https://github.com/kubernetes-sigs/prometheus-adapter
"""

import json
from typing import Any

from constructs import Construct

from charts.kit import workloads
from charts.kit.chart import ComponentChart
from charts.kit.controller import api_service, certificate
from charts.kit.monitoring import ADAPTER, NAMESPACE, NO_SIDECAR, PROMETHEUS_URL
from charts.kit.network import allow, takes
from charts.kit.objects import Manifest, config_map
from charts.kit.rbac import extension_server_access, rule
from charts.kit.security import NOBODY, run_as

PREFIX = "autoscaling_"
"""Series whose names start so are business metrics: autoscalers of the series' namespace may ask for them."""
RESPONSE_TIME, IN_FLIGHT = "model_response_time_p95_seconds", "model_requests_in_flight"
"""Metrics of pods that ``Metric`` of the construct library refers to by default."""

_PORT = 6443
_CERTIFICATE, _CONFIGURATION = f"{ADAPTER}-certificate", "prometheus-adapter"
_CERTIFICATE_FOLDER, _CONFIGURATION_FOLDER = "/var/run/serving-cert", "/etc/adapter"
_GROUP, _VERSION = "custom.metrics.k8s.io", "v1beta1"
_NAMESPACED = {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}


class PrometheusAdapter(ComponentChart):
    """The Prometheus adapter, which serves ``custom.metrics.k8s.io`` from Prometheus.

    - Metrics of pods: the proxies of the mesh or the servers themselves measure ``requests_per_second``,
      ``model_response_time_p95_seconds``, ``request_milliseconds_p95`` and ``model_requests_in_flight``, which rules of
      Prometheus record over two minutes. The last is a mean, computed from the duration of requests (Little's law), so
      that a request counts when it ends. ``requests_in_flight`` is the series ``http_requests_in_flight`` of a server.
    - Business metrics, as metrics of namespaces: every series ``autoscaling_*``, which a team's recording rule makes.
      An autoscaler asks for those of its own namespace only.

    It leaves ``external.metrics.k8s.io`` to KEDA or Datadog's cluster agent, because an API has one server.

    :param image: image of the adapter.
    :param relist_seconds: interval at which it looks for new series.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(self, scope: Construct, id: str, *, image: str, relist_seconds: int = 30, placement: Manifest) -> None:
        super().__init__(scope, id)
        probe = {"path": "/livez", "port": "https", "scheme": "HTTPS"}
        container = workloads.container(
            ADAPTER,
            image,
            args=[
                f"--config={_CONFIGURATION_FOLDER}/config.yaml",
                f"--prometheus-url={PROMETHEUS_URL}/",
                f"--metrics-relist-interval={relist_seconds}s",
                f"--metrics-max-age={max(relist_seconds * 3, 60)}s",
                f"--secure-port={_PORT}",
                f"--tls-cert-file={_CERTIFICATE_FOLDER}/tls.crt",
                f"--tls-private-key-file={_CERTIFICATE_FOLDER}/tls.key",
                "--tls-min-version=VersionTLS12",
            ],
            ports={"https": _PORT},
            probes={
                "livenessProbe": {"httpGet": probe, "periodSeconds": 10},
                "readinessProbe": {"httpGet": {**probe, "path": "/readyz"}, "periodSeconds": 10},
                "startupProbe": {"httpGet": probe, "periodSeconds": 5, "failureThreshold": 24},
            },
            mounts={_CERTIFICATE_FOLDER: "certificate", _CONFIGURATION_FOLDER: "configuration", "/tmp": "scratch"},
            read_only=[_CERTIFICATE_FOLDER, _CONFIGURATION_FOLDER],
            resources=workloads.resources(cpu="50m", memory="192Mi"),
        )
        pod = workloads.pod(
            container,
            service_account=ADAPTER,
            volumes={
                "certificate": {"secret": {"secretName": _CERTIFICATE, "defaultMode": 0o440}},
                "configuration": {"configMap": {"name": _CONFIGURATION}},
                "scratch": {"emptyDir": {}},
            },
            priority=workloads.CLUSTER_CRITICAL,
            security=run_as(NOBODY),
            placement=placement,
        )
        self.add(
            *extension_server_access(ADAPTER, NAMESPACE, cluster=[rule("", "namespaces nodes pods services")]),
            config_map(_CONFIGURATION, NAMESPACE, {"config.yaml": json.dumps(configuration(), indent=1)}),
            *certificate(ADAPTER, NAMESPACE, secret=_CERTIFICATE),
            workloads.deployment(ADAPTER, NAMESPACE, pod, pod_labels=NO_SIDECAR),
            workloads.service(ADAPTER, NAMESPACE, {"https": (443, "https")}),
            workloads.disruption_budget(ADAPTER, NAMESPACE),
            takes(ADAPTER, NAMESPACE, allow(ports=["https"])),  # the API server has addresses that no selector names
            api_service(_GROUP, _VERSION, service=ADAPTER, namespace=NAMESPACE),
        )


def configuration() -> dict[str, Any]:
    """The configuration of the adapter: rules that discover series, each with the query of its metric.

    https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/docs/config.md
    """
    measured = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)"
    percentile = "pod:model_latency_seconds:p95"
    return {
        "rules": [
            _rule("pod:model_requests:rate2m", "requests_per_second", measured),
            _rule(percentile, "request_milliseconds_p95", f"1000 * {measured}"),
            _rule(percentile, RESPONSE_TIME, measured),
            _rule("pod:model_request_seconds:rate2m", IN_FLIGHT, measured),
            _rule("http_requests_in_flight", "requests_in_flight", measured),
            {
                "seriesQuery": f'{{__name__=~"^{PREFIX}.*",namespace!=""}}',
                "resources": {"overrides": {"namespace": {"resource": "namespace"}}},
                # Both servers have the same series.
                "metricsQuery": "max(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            },
        ],
    }


def _rule(series: str, name: str, query: str) -> dict[str, Any]:
    """A metric of pods from a series that has their names."""
    return {
        "seriesQuery": f'{series}{{namespace!="",pod!=""}}',
        "resources": {"overrides": _NAMESPACED},
        "name": {"as": name},
        "metricsQuery": query,
    }
