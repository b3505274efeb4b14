"""Istio with sidecars, by its official Helm charts. Its CNI plugin redirects traffic, so that no pod needs to."""

from typing import Any

from constructs import Construct

from charts.images import Images
from charts.manifest_chart import RESTRICTED_CONTAINER, RESTRICTED_POD, Manifest, ManifestChart, metadata

NAMESPACE = "istio-system"
CNI_NAMESPACE = "kube-system"
"""Its pods change the network of other pods, which no other namespace of the platform allows."""
GATEWAY = "istio-ingressgateway"
"""Release, Service and Deployment; gateways select it by ``istio: ingressgateway``."""

_CRITICAL = "system-cluster-critical"
_ACROSS_ZONES = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}


def cni_values(*, images: Images) -> dict[str, Any]:
    """Values of the chart ``cni``. Its pods run on every node, whatever its taints."""
    return {
        "image": images.reference("istio-cni"),
        "resources": {"requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"memory": "512Mi"}},
    }


def istiod_values(*, images: Images, placement: Manifest) -> dict[str, Any]:
    """Values of the chart ``istiod``: two replicas at least, and access logs as JSON on each proxy's output.

    :param placement: node selection and tolerations of the platform's own pods.
    """
    proxy = images.reference("istio-proxy")
    return {
        "image": images.reference("istio-pilot"),
        "autoscaleMin": 2,
        "autoscaleMax": 5,
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        "seccompProfile": RESTRICTED_POD["seccompProfile"],
        "topologySpreadConstraints": [{**_ACROSS_ZONES, "labelSelector": {"matchLabels": {"app": "istiod"}}}],
        "pilot": {"cni": {"enabled": True}},
        "meshConfig": {"accessLogFile": "/dev/stdout", "accessLogEncoding": "JSON"},
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


def gateway_values(*, placement: Manifest) -> dict[str, Any]:
    """Values of the chart ``gateway``: the way in for browsers and clients, behind a load balancer of its own making.

    The Service is of type ClusterIP: what sends traffic to it is bound to its pods elsewhere. The image is the proxy's,
    which istiod fills in.

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


class Mesh(ManifestChart):
    """What holds for all pods with a sidecar: they take calls over mutual TLS only.

    Whatever calls such a pod from outside the mesh needs an exception for that pod and port.
    """

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.add(
            {
                "apiVersion": "security.istio.io/v1",
                "kind": "PeerAuthentication",
                "metadata": metadata("default", NAMESPACE),
                "spec": {"mtls": {"mode": "STRICT"}},
            }
        )
