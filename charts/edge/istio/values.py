"""Istio with sidecars, by its official Helm charts. Its CNI plugin redirects traffic, so that no pod needs to."""

from typing import Any

from charts.kit.images import Images
from charts.kit.istio import SIGN_IN_PROVIDER
from charts.kit.objects import Manifest
from charts.kit.security import RESTRICTED_CONTAINER, RESTRICTED_POD

NAMESPACE = "istio-system"
CNI_NAMESPACE = "kube-system"
"""Its pods change the network of other pods, which no other namespace of the platform allows."""
GATEWAY = "istio-ingressgateway"
"""Release, Service and Deployment; gateways select it by ``istio: ingressgateway``."""

_CRITICAL = "system-cluster-critical"
_ACROSS_ZONES = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}


def cni_values(*, images: Images) -> dict[str, Any]:
    """Values of the chart ``cni``. Its pods tolerate all taints and run on every node."""
    return {
        "image": images.reference("istio-cni"),
        "resources": {"requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"memory": "512Mi"}},
    }


def istiod_values(*, images: Images, placement: Manifest, sign_in_service: str | None = None) -> dict[str, Any]:
    """Values of the chart ``istiod``: at least two replicas, and access logs in JSON if a Telemetry enables them.

    :param placement: node selection and tolerations of the platform's own pods.
    :param sign_in_service: host name of a Service that policies can have the gateway ask who calls, at port 80. It
        answers with an ``authorization`` header, or with a redirect and cookies. Default: none.
    """
    proxy = images.reference("istio-proxy")
    providers = {"extensionProviders": [_sign_in(sign_in_service)]} if sign_in_service else {}
    return {
        "image": images.reference("istio-pilot"),
        "autoscaleMin": 2,
        "autoscaleMax": 5,
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "seccompProfile": RESTRICTED_POD["seccompProfile"],
        "topologySpreadConstraints": [{**_ACROSS_ZONES, "labelSelector": {"matchLabels": {"app": "istiod"}}}],
        "pilot": {"cni": {"enabled": True}},
        "meshConfig": {
            "accessLogEncoding": "JSON",
            # Policies decide by the path that workloads get: `/a%2f..//b` arrives as `/b`.
            "pathNormalization": {"normalization": "DECODE_AND_MERGE_SLASHES"},
            **providers,
        },
        "global": {
            "priorityClassName": _CRITICAL,
            "proxy": {
                "image": proxy,
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
            },
            "proxy_init": {"image": proxy},
        },
        **placement,
    }


def _sign_in(service: str) -> dict[str, Any]:
    return {
        "name": SIGN_IN_PROVIDER,
        "envoyExtAuthzHttp": {
            "service": service,
            "port": 80,
            "includeRequestHeadersInCheck": ["cookie"],
            "headersToUpstreamOnAllow": ["authorization"],
            "headersToDownstreamOnDeny": ["content-type", "set-cookie"],
        },
    }


def gateway_values(*, placement: Manifest) -> dict[str, Any]:
    """Values of the chart ``gateway``: the entry point for browsers and clients, behind the platform's load balancer.

    The Service is of type ClusterIP: a TargetGroupBinding registers its pods with a load balancer. istiod fills in the
    image, which is the proxy's.

    :param placement: node selection and tolerations of the platform's own pods.
    """
    spread = {**_ACROSS_ZONES, "labelSelector": {"matchLabels": {"istio": "ingressgateway"}}}
    return {
        "service": {"type": "ClusterIP"},
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 10},
        "podDisruptionBudget": {"maxUnavailable": 1},
        "priorityClassName": _CRITICAL,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            **RESTRICTED_POD,
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],  # ports 80 and 443 for no root
        },
        "containerSecurityContext": {
            **RESTRICTED_CONTAINER,
            "runAsNonRoot": True,
            "runAsUser": 1337,
            "runAsGroup": 1337,
        },
        "topologySpreadConstraints": [spread],
        **placement,
    }
