"""The AWS Load Balancer Controller, by its official Helm chart."""

from typing import Any

from charts.kit.images import Images
from charts.kit.objects import Manifest
from charts.kit.security import RESTRICTED_CONTAINER, RESTRICTED_POD

NAME = "aws-load-balancer-controller"
NAMESPACE = "kube-system"
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 and 1.3. The controller's own default still takes TLS 1.0."""


def load_balancer_controller_values(
    *, images: Images, cluster_name: str, region: str, vpc_id: str, isolated: bool, placement: Manifest
) -> dict[str, Any]:
    """Values of the chart.

    Load balancers send to pods, not to nodes. Region and network are values, because pods cannot ask the node's
    metadata. cert-manager issues and renews the webhook's certificate; the chart's own would stay in the release for
    ten years. Shield and WAF Classic, which need additional permissions, are off.

    :param isolated: whether the network has no route to services without an endpoint, as WAF is; the controller would
        ask it about every load balancer without an answer.
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
        "enableWafv2": not isolated,
        "replicaCount": 2,
        "podDisruptionBudget": {"maxUnavailable": 1},
        "serviceAccount": {"name": NAME},
        "image": {"repository": images.repository(NAME), "tag": images.pinned_tag(NAME)},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "podSecurityContext": {**RESTRICTED_POD, "fsGroup": 65534},
        "securityContext": {**RESTRICTED_CONTAINER, "runAsNonRoot": True},
        **placement,
    }
