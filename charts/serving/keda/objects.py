"""KEDA 2.20: model servers that have no replica while there is nothing to do.

https://github.com/kedacore/keda
"""

from collections.abc import Sequence

from constructs import Construct

from charts.kit import monitoring, workloads
from charts.kit.admission import SYSTEM_LABEL
from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller, Webhook, WebhookServer, api_service, certificate
from charts.kit.images import Images
from charts.kit.network import allow, deny_all, network_policy, pods_of, takes
from charts.kit.objects import Manifest, metadata, namespace, selector
from charts.kit.rbac import ALL, READ, account_subject, binding, extension_server_access, role, rule
from charts.kit.security import run_as
from mlplatform_constructs import ConfigurationError

NAMESPACE, OPERATOR = monitoring.KEDA, monitoring.KEDA_OPERATOR
ADAPTER, WEBHOOKS = "keda-metrics-apiserver", "keda-admission-webhooks"
GROUP = "keda.sh"
AWS = "aws"
"""ClusterTriggerAuthentication by which triggers call AWS as the operator's role."""

_EVENTS_GROUP = "eventing.keda.sh"
_API_GROUP, _API_VERSION = "external.metrics.k8s.io", "v1beta1"
_LEASE = "operator.keda.sh"
_METRICS, _HEALTH, _GRPC, _HTTPS = 8080, 8081, 9666, 6443
_SOURCE = "keda-metrics-source"
"""The Service at which the leading operator answers the adapter."""
_CERTIFICATE = f"{ADAPTER}-certificate"
_CERTIFICATES = "/certs"
_USER = 1000
_OF_THE_CLUSTER = "default"
"""Namespace of events about objects without one, such as ClusterTriggerAuthentications."""
_KINDS = {
    "scaledobject": "scaledobjects",
    "triggerauthentication": "triggerauthentications",
    "clustertriggerauthentication": "clustertriggerauthentications",
}
_RECORDS_EVENTS = [rule("", "events", "create patch"), rule("events.k8s.io", "events", "create patch")]

_IN_TEAMS = [
    rule(GROUP, "scaledobjects triggerauthentications", f"{READ} patch update"),
    rule(GROUP, "scaledobjects/finalizers scaledobjects/status triggerauthentications/status", "get patch update"),
    # The operator lists these kinds in any case. It may create no Job, so a ScaledJob does nothing.
    rule(GROUP, "scaledjobs"),
    rule(_EVENTS_GROUP, "cloudeventsources"),
    rule("autoscaling", "horizontalpodautoscalers", ALL),
    rule("apps", "deployments statefulsets"),
    rule("apps", "deployments/scale statefulsets/scale", "get patch update"),
    rule("", "configmaps"),  # of environment variables of the scaled pods, to which a trigger may refer
    *_RECORDS_EVENTS,
]
"""Rights of the operator in the namespaces of teams, and nowhere else. Secrets are not among them."""
_EVERYWHERE = [
    rule(GROUP, "clustertriggerauthentications", f"{READ} patch update"),
    rule(GROUP, "clustertriggerauthentications/status", "get patch update"),
    rule(_EVENTS_GROUP, "clustercloudeventsources"),
]
_CHECKS = [
    rule(GROUP, "scaledobjects"),
    rule("autoscaling", "horizontalpodautoscalers"),
    rule("apps", "deployments statefulsets"),
    rule("", "limitranges"),
    *_RECORDS_EVENTS,
]
"""What the webhooks read: whether another autoscaler has the same workload, and requests where CPU is a trigger."""


class Keda(ComponentChart):
    """The operator of KEDA, its server of external metrics, and its webhooks.

    The operator sees ScaledObjects in the namespaces of teams only, and may scale Deployments and StatefulSets there.
    It reads Secrets of its own namespace alone, so that triggers sign in by ClusterTriggerAuthentications; the one
    called ``aws`` is the operator's role. It owns ``external.metrics.k8s.io``, which no other server of the cluster may
    register. The namespaces of the teams must exist.

    :param images: of operator, server of metrics and webhooks.
    :param teams: namespaces whose workloads it scales.
    :param placement: node selection and tolerations of the platform's own pods.
    :raises ConfigurationError: if there is no team; an operator without namespaces would watch all.
    """

    def __init__(self, scope: Construct, id: str, *, images: Images, teams: Sequence[str], placement: Manifest) -> None:
        super().__init__(scope, id)
        if not teams:
            raise ConfigurationError(f"{self.node.path}: teams is empty; KEDA scales model servers of teams, add one")
        self.add(
            namespace(NAMESPACE, **{SYSTEM_LABEL: "true"}),
            deny_all(NAMESPACE),
            *_operator(images.reference("keda-operator"), teams, placement).objects(),
            *(made for team in teams for made in _rights_in(team, _IN_TEAMS)),
            *_rights_in(_OF_THE_CLUSTER, _RECORDS_EVENTS),
            workloads.service(_SOURCE, NAMESPACE, {"grpc": (_GRPC, "grpc")}, of=OPERATOR),
            network_policy(
                _SOURCE,
                NAMESPACE,
                pods=selector(OPERATOR),
                ingress=[allow(pods_of(NAMESPACE, selector(ADAPTER)), ports=["grpc"])],
            ),
            *_adapter(images.reference("keda-metrics-apiserver"), placement),
            *_webhooks(images.reference("keda-admission-webhooks"), placement).objects(),
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "ClusterTriggerAuthentication",
                "metadata": metadata(AWS),
                "spec": {"podIdentity": {"provider": "aws"}},
            },
        )


def _operator(image: str, teams: Sequence[str], placement: Manifest) -> Controller:
    """Two replicas; the one that leads polls triggers, scales, and answers the adapter."""
    return Controller(
        name=OPERATOR,
        namespace=NAMESPACE,
        image=image,
        command=["/keda"],
        args=[
            "--leader-elect",
            f"--leader-election-id={_LEASE}",
            "--enable-cert-rotation=false",  # cert-manager issues the certificates
            f"--cert-dir={_CERTIFICATES}",
            "--zap-log-level=info",
            "--zap-encoder=console",
        ],
        env={
            "WATCH_NAMESPACE": ",".join(teams),
            "POD_NAMESPACE": workloads.from_field("metadata.namespace"),
            "KEDA_RESTRICT_SECRET_ACCESS": "true",
        },
        resources=workloads.resources(cpu="100m", memory="256Mi", memory_limit="512Mi"),
        cluster=_EVERYWHERE,
        local=[rule("", "secrets"), *_RECORDS_EVENTS],
        lease=_LEASE,
        ports={"metrics": _METRICS, "health": _HEALTH, "grpc": _GRPC},
        mounts={_CERTIFICATES: "certificate"},
        volumes={"certificate": {"secret": {"secretName": _CERTIFICATE, "defaultMode": 0o440}}},
        read_only=[_CERTIFICATES],
        security=run_as(_USER),
        placement=placement,
    )


def _rights_in(place: str, rules: Sequence[Manifest]) -> list[Manifest]:
    account = account_subject(OPERATOR, NAMESPACE)
    return [role(OPERATOR, rules, namespace=place), binding(OPERATOR, account, namespace=place)]


def _webhooks(image: str, placement: Manifest) -> Controller:
    """They refuse a second autoscaler of one workload, and triggers that cannot work."""
    return Controller(
        name=WEBHOOKS,
        namespace=NAMESPACE,
        image=image,
        command=["/keda-admission-webhooks"],
        args=[f"--cert-dir={_CERTIFICATES}", "--zap-log-level=info", "--zap-encoder=console"],
        env={"WATCH_NAMESPACE": "", "POD_NAMESPACE": workloads.from_field("metadata.namespace")},
        resources=workloads.resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
        cluster=_CHECKS,
        lease=None,
        ports={"metrics": _METRICS, "health": _HEALTH},
        webhook=WebhookServer(
            webhooks=[
                Webhook(
                    name=f"v{kind}.keda.sh",
                    path=f"/validate-keda-sh-v1alpha1-{kind}",
                    group=GROUP,
                    versions="v1alpha1",
                    resources=plural,
                )
                for kind, plural in _KINDS.items()
            ],
            mount=_CERTIFICATES,
        ),
        security=run_as(_USER),
        placement=placement,
    )


def _adapter(image: str, placement: Manifest) -> list[Manifest]:
    """The server of ``external.metrics.k8s.io``. It and the operator authenticate each other by certificates."""
    probe = {"path": "/livez", "port": "https", "scheme": "HTTPS"}
    container = workloads.container(
        ADAPTER,
        image,
        command=["/keda-adapter"],
        args=[
            f"--secure-port={_HTTPS}",
            f"--port={_METRICS}",
            f"--metrics-service-address={_SOURCE}.{NAMESPACE}.svc.cluster.local:{_GRPC}",
            f"--cert-dir={_CERTIFICATES}",
            f"--tls-cert-file={_CERTIFICATES}/tls.crt",
            f"--tls-private-key-file={_CERTIFICATES}/tls.key",
            "--tls-min-version=VersionTLS12",
            "--zap-log-level=info",
        ],
        env={"WATCH_NAMESPACE": "", "POD_NAMESPACE": workloads.from_field("metadata.namespace")},
        ports={"https": _HTTPS, monitoring.METRICS_PORT: _METRICS},
        probes={
            "livenessProbe": {"httpGet": probe, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {**probe, "path": "/readyz"}, "periodSeconds": 10},
            "startupProbe": {"httpGet": probe, "periodSeconds": 5, "failureThreshold": 24},
        },
        mounts={_CERTIFICATES: "certificate", "/tmp": "scratch"},
        read_only=[_CERTIFICATES],
        resources=workloads.resources(cpu="50m", memory="128Mi", memory_limit="256Mi"),
    )
    pod = workloads.pod(
        container,
        service_account=ADAPTER,
        volumes={
            "certificate": {"secret": {"secretName": _CERTIFICATE, "defaultMode": 0o440}},
            "scratch": {"emptyDir": {}},
        },
        priority=workloads.CLUSTER_CRITICAL,
        security=run_as(_USER),
        placement=placement,
    )
    return [
        *extension_server_access(ADAPTER, NAMESPACE),
        *certificate(ADAPTER, NAMESPACE, secret=_CERTIFICATE, also=[_SOURCE], of_clients=True),
        workloads.deployment(ADAPTER, NAMESPACE, pod, pod_labels=monitoring.NO_SIDECAR),
        workloads.service(
            ADAPTER, NAMESPACE, {"https": (443, "https"), "http-metrics": (_METRICS, monitoring.METRICS_PORT)}
        ),
        workloads.disruption_budget(ADAPTER, NAMESPACE),
        takes(
            ADAPTER,
            NAMESPACE,
            allow(ports=["https"]),  # the API server has addresses that no selector names
            allow(pods_of(monitoring.NAMESPACE), ports=[monitoring.METRICS_PORT]),
        ),
        api_service(_API_GROUP, _API_VERSION, service=ADAPTER, namespace=NAMESPACE),
    ]
