"""Ambassador, by the name of its open source: Emissary-ingress, the API gateway in front of served models.

https://github.com/emissary-ingress/emissary
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from constructs import Construct

from charts.kit import network, workloads
from charts.kit.admission import SYSTEM_LABEL
from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, metadata, namespace
from charts.kit.rbac import access, rule
from charts.kit.security import run_as

NAME = "emissary-ingress"
NAMESPACE = "emissary"
GROUP = "getambassador.io"
API = f"{GROUP}/v3alpha1"

_KINDS = (
    "authservices consulresolvers devportals hosts kubernetesendpointresolvers kubernetesserviceresolvers listeners "
    "logservices mappings modules ratelimitservices tcpmappings tlscontexts tracingservices"
)
_USER = 8888  # of the image
_HTTP, _ADMIN = 8080, 8877
_DRAIN_SECONDS = 20  # until no load balancer sends requests to a pod that ends
_REQUEST_SECONDS = 60
_RULES = [
    rule(GROUP, _KINDS),
    rule(GROUP, "hosts/status mappings/status", "update"),
    # It takes the address of a model from its Service, and certificates from the Secrets that Hosts name, in every
    # namespace; its caches read all of them.
    rule("", "configmaps endpoints namespaces secrets services"),
    rule("discovery.k8s.io", "endpointslices"),
    rule("networking.k8s.io", "ingressclasses ingresses"),
    rule("apiextensions.k8s.io", "customresourcedefinitions"),
]


@dataclass(frozen=True)
class Entrance:
    """A name of the gateway outside the cluster, with its own load balancer.

    :param host: DNS name.
    :param certificate_arn: of that name.
    :param networks: of the load balancer's subnets.
    """

    host: str
    certificate_arn: str
    networks: Sequence[str]


class EmissaryIngress(ComponentChart):
    """Emissary-ingress with a Listener and a Host: it takes requests for models as soon as a Mapping exists.

    Seldon Core writes Mappings of version ``v2``, which Emissary 4 serves only with a webhook that converts them. The
    platform's own definitions serve ``v2`` without a webhook: what Seldon writes has the same fields in both versions
    but for ``hostname``, and that has the default ``*``, which the webhook would write.

    Callers inside the cluster reach it at its Service. It stays out of the mesh.

    :param image: of Emissary-ingress.
    :param entrance: its name outside the cluster. Default: none.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self, scope: Construct, id: str, *, image: str, entrance: Entrance | None = None, placement: Manifest
    ) -> None:
        super().__init__(scope, id)
        self.add(
            namespace(NAMESPACE, **{SYSTEM_LABEL: "true"}, **_READINESS_GATES),
            network.deny_all(NAMESPACE),
            *access(NAME, NAMESPACE, cluster=_RULES),
            workloads.deployment(
                NAME,
                NAMESPACE,
                _pod(image, placement),
                pod_labels={"sidecar.istio.io/inject": "false"},
                strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            ),
            workloads.disruption_budget(NAME, NAMESPACE),
            workloads.service(NAME, NAMESPACE, {"http": (80, "http")}),
            workloads.service(f"{NAME}-admin", NAMESPACE, {"metrics": (_ADMIN, "admin")}, of=NAME),
            network.takes(NAME, NAMESPACE, *_connections(entrance)),
            *_routing(),
            *([_ingress(entrance)] if entrance else []),
        )


_READINESS_GATES = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}


def _pod(image: str, placement: Manifest) -> dict[str, Any]:
    container = workloads.container(
        NAME,
        image,
        env={
            "AMBASSADOR_NAMESPACE": workloads.from_field("metadata.namespace"),
            "HOST_IP": workloads.from_field("status.hostIP"),
        },
        ports={"http": _HTTP, "admin": _ADMIN},
        probes=workloads.http_probes(
            "admin",
            live="/ambassador/v0/check_alive",
            ready="/ambassador/v0/check_ready",
            start_seconds=120,
            period_seconds=5,
        ),
        mounts={"/tmp": "scratch", "/tmp/ambassador-pod-info": "pod-info"},
        read_only=["/tmp/ambassador-pod-info"],
        resources=workloads.resources(cpu="200m", memory="600Mi"),
        # It writes Envoy's configuration next to its own programs.
        security={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        lifecycle={"preStop": {"sleep": {"seconds": _DRAIN_SECONDS}}},
    )
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    return workloads.pod(
        container,
        service_account=NAME,
        volumes={"scratch": {"emptyDir": {}}, "pod-info": {"downwardAPI": {"items": [labels]}}},
        placement=placement,
        priority=workloads.CLUSTER_CRITICAL,
        security=run_as(_USER),
        terminationGracePeriodSeconds=_DRAIN_SECONDS + _REQUEST_SECONDS + 10,
    )


def _connections(entrance: Entrance | None) -> list[Manifest]:
    networks = [{"ipBlock": {"cidr": cidr}} for cidr in entrance.networks] if entrance else []
    return [
        network.allow({"namespaceSelector": {}}, *networks, ports=["http"]),
        network.allow(network.pods_of("monitoring"), *networks, ports=["admin"]),
    ]


def _routing() -> list[Manifest]:
    """Where it listens, and for which names. The load balancer in front ends TLS and reports the client's address."""
    module = {"config": {"diagnostics": {"enabled": False}, "use_remote_address": False, "xff_num_trusted_hops": 1}}
    listener = {
        "port": _HTTP,
        "protocol": "HTTP",
        "securityModel": "XFP",
        "l7Depth": 1,
        "hostBinding": {"namespace": {"from": "ALL"}},
    }
    host = {
        "hostname": "*",
        "acmeProvider": {"authority": "none"},
        "requestPolicy": {"insecure": {"action": "Route"}},  # TLS ends at the load balancer; pods call inside
    }
    return [
        {"apiVersion": API, "kind": kind, "metadata": metadata(name, NAMESPACE), "spec": spec}
        for kind, name, spec in (
            ("Module", "ambassador", module),  # Emissary reads this name
            ("Listener", "http", listener),
            ("Host", "all", host),
        )
    ]


def _ingress(entrance: Entrance) -> dict[str, Any]:
    prefix = "alb.ingress.kubernetes.io"
    attributes = {"deregistration_delay.timeout_seconds": _REQUEST_SECONDS, "load_balancing.cross_zone.enabled": "true"}
    annotations = {
        f"{prefix}/scheme": "internal",
        f"{prefix}/target-type": "ip",
        f"{prefix}/certificate-arn": entrance.certificate_arn,
        f"{prefix}/listen-ports": json.dumps([{"HTTPS": 443}]),
        f"{prefix}/ssl-policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        f"{prefix}/healthcheck-port": str(_ADMIN),
        f"{prefix}/healthcheck-path": "/ambassador/v0/check_ready",
        f"{prefix}/healthcheck-interval-seconds": "5",
        f"{prefix}/healthcheck-timeout-seconds": "4",
        f"{prefix}/healthy-threshold-count": "2",
        f"{prefix}/unhealthy-threshold-count": "2",
        f"{prefix}/target-group-attributes": ",".join(f"{key}={value}" for key, value in attributes.items()),
    }
    backend = {"service": {"name": NAME, "port": {"name": "http"}}}
    rules = [{"host": entrance.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(NAME, NAMESPACE, annotations=annotations),
        "spec": {"ingressClassName": "alb", "rules": rules},
    }
