"""A pair of Alertmanagers, run by the Prometheus operator.

https://prometheus.io/docs/alerting/latest/configuration/
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from constructs import Construct

from charts.kit import network
from charts.kit.chart import ComponentChart
from charts.kit.monitoring import ALERTMANAGER, GROUP, NAMESPACE, NO_SIDECAR, PROMETHEUS_PODS, scraped, service_monitor
from charts.kit.objects import Manifest, metadata, selector
from charts.kit.rbac import service_account
from charts.kit.security import NOBODY, run_as
from charts.kit.workloads import CLUSTER_CRITICAL, disruption_budget, resources, service, spread

INSTANCE = "platform"
_REPLICAS = 2
_CONFIGURATION = "alertmanager-configuration"
_PEERS = 9094
_SUBJECT = "{{ .Status | toUpper }}: {{ .CommonLabels.alertname }} in {{ .CommonLabels.cluster }}"
_MESSAGE = (
    "{{ range .Alerts }}{{ .Status }}: {{ .Annotations.summary }}\n{{ .Annotations.description }}\n"
    "Runbook: {{ .Annotations.runbook }}\nSince {{ .StartsAt }}\n\n{{ end }}"
)


@dataclass(frozen=True)
class Receiver:
    """Where notifications go. Create it by :meth:`topic` or :meth:`webhook`."""

    configuration: Mapping[str, Sequence[Manifest]]

    @classmethod
    def topic(cls, arn: str, *, region: str) -> Self:
        """An SNS topic. The role of the service account ``alertmanager`` needs to be allowed to publish."""
        sns = {"topic_arn": arn, "sigv4": {"region": region}, "subject": _SUBJECT, "message": _MESSAGE}
        return cls({"sns_configs": [sns]})

    @classmethod
    def webhook(cls, url: str) -> Self:
        """An HTTP server that takes Alertmanager's own JSON."""
        return cls({"webhook_configs": [{"url": url}]})


@dataclass(frozen=True, kw_only=True)
class Route:
    """Alerts with certain labels that go to another receiver.

    :param name: of the receiver.
    :param labels: value by label; an alert needs all.
    :param exclusive: whether the default receiver does not get these alerts.
    """

    name: str
    labels: Mapping[str, str]
    receiver: Receiver
    exclusive: bool = False


class Alertmanager(ComponentChart):
    """Two Alertmanagers that agree on what was sent: each alert is sent once while one of them runs.

    Alerts are grouped by name and namespace, sent again after four hours, and reported when they resolve. A critical
    alert silences the warning of the same name and namespace.

    :param image: image of Alertmanager.
    :param version: of that image, such as ``0.33.0``.
    :param receiver: gets every alert that no exclusive route takes.
    :param routes: further receivers, in order. Default: none.
    :param storage_gib: volume of each, for silences and the log of notifications.
    :param group_seconds: time that the first alert of a group waits for others.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        version: str,
        receiver: Receiver,
        routes: Sequence[Route] = (),
        storage_gib: int = 2,
        group_seconds: int = 30,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{storage_gib}Gi"}}}
        spec = {
            "image": image,
            "version": version,
            "replicas": _REPLICAS,
            "configSecret": _CONFIGURATION,
            "storage": {"volumeClaimTemplate": {"spec": claim}},
            "retention": "120h",
            "serviceAccountName": ALERTMANAGER,
            "priorityClassName": CLUSTER_CRITICAL,
            "podMetadata": {"labels": NO_SIDECAR},
            "securityContext": run_as(NOBODY),
            "topologySpreadConstraints": [spread(ALERTMANAGER)],
            "resources": resources(cpu="20m", memory="128Mi"),
            **placement,
        }
        peers = network.pods_of(NAMESPACE, selector(ALERTMANAGER))
        configuration = json.dumps(_configuration(receiver, routes, group_seconds), indent=1)  # JSON is YAML
        self.add(
            service_account(ALERTMANAGER, NAMESPACE),
            {
                "apiVersion": "v1",
                "kind": "Secret",  # the operator takes it from a Secret only; it names topics, and holds no secret
                "metadata": metadata(_CONFIGURATION, NAMESPACE),
                "stringData": {"alertmanager.yaml": configuration},
            },
            {
                "apiVersion": f"{GROUP}/v1",
                "kind": "Alertmanager",
                "metadata": metadata(INSTANCE, NAMESPACE),
                "spec": spec,
            },
            service(ALERTMANAGER, NAMESPACE, {"web": (9093, "web"), "reloader-web": (8080, "reloader-web")}),
            disruption_budget(ALERTMANAGER, NAMESPACE),
            network.takes(
                ALERTMANAGER,
                NAMESPACE,
                network.allow(network.pods_of(NAMESPACE, PROMETHEUS_PODS), ports=["web"]),
                scraped("reloader-web"),
                network.allow(peers, ports=[_PEERS]),
                network.allow(peers, ports=[_PEERS], protocol="UDP"),
            ),
            service_monitor(ALERTMANAGER, NAMESPACE, "web"),
        )


def _configuration(receiver: Receiver, routes: Sequence[Route], group_seconds: int) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "default",
            "group_by": ["alertname", "namespace"],
            "group_wait": f"{group_seconds}s",
            "group_interval": f"{max(group_seconds, 1) * 10}s",
            "repeat_interval": "4h",
            "routes": [
                {
                    "receiver": route.name,
                    "matchers": [f"{label}={json.dumps(value)}" for label, value in route.labels.items()],
                    "continue": not route.exclusive,
                }
                for route in routes
            ]
            + [{"receiver": "default"}],
        },
        "receivers": [
            {"name": "default", **receiver.configuration},
            *({"name": route.name, **route.receiver.configuration} for route in routes),
        ],
        "inhibit_rules": [
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity="warning"'],
                "equal": ["alertname", "namespace"],
            }
        ],
    }
