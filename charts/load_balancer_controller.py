"""The AWS Load Balancer Controller, by its official Helm chart."""

from typing import Any

from charts.images import Images
from charts.manifest_chart import RESTRICTED_CONTAINER, RESTRICTED_POD, Manifest

NAME = "aws-load-balancer-controller"
NAMESPACE = "kube-system"
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 and 1.3. The controller's own default still takes TLS 1.0."""


def load_balancer_controller_values(
    *, images: Images, cluster_name: str, region: str, vpc_id: str, placement: Manifest
) -> dict[str, Any]:
    """Values of the chart.

    Load balancers send to pods, not to nodes. Region and network are told, because pods cannot ask the node's metadata.
    The webhook's certificate comes from cert-manager, which renews it; the chart's own would be in the release for ten
    years. Parts that need rights of their own and that nobody uses (Shield, the first WAF) are off.

    :param placement: node selection and tolerations of the platform's own pods.
    """
    return {
        "clusterName": cluster_name,
        "region": region,
        "vpcId": vpc_id,
        "defaultTargetType": "ip",
        "defaultSSLPolicy": TLS_POLICY,
        "enableCertManager": True,
        "enableShield": False,
        "enableWaf": False,
        "replicaCount": 2,
        "podDisruptionBudget": {"maxUnavailable": 1},
        "serviceAccount": {"name": NAME},
        "image": {"repository": images.repository(NAME), "tag": images.pinned_tag(NAME)},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "podSecurityContext": {**RESTRICTED_POD, "fsGroup": 65534},
        "securityContext": {**RESTRICTED_CONTAINER, "runAsNonRoot": True},
        **placement,
    }
