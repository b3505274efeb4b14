"""Karpenter, by its official Helm charts."""

from typing import Any

from charts.kit.images import Images
from charts.kit.objects import Manifest

NAME = "karpenter"
NAMESPACE = "kube-system"


def karpenter_values(
    *, images: Images, cluster_name: str, queue_name: str, isolated: bool, placement: Manifest
) -> dict[str, Any]:
    """Values of the chart ``karpenter``.

    :param queue_name: where notices of interruption arrive.
    :param isolated: whether AWS services without an endpoint in the network are out of reach, as prices are.
    :param placement: node selection and tolerations of the platform's own pods, on nodes that Karpenter does not make.
    """
    return {
        "replicas": 2,
        "serviceAccount": {"name": NAME},
        "settings": {"clusterName": cluster_name, "interruptionQueue": queue_name, "isolatedVPC": isolated},
        "controller": {
            "image": {
                "repository": images.repository(NAME),
                "tag": images.tag(NAME),
                "digest": images.digest(NAME) or "",
            },
            "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        },
        **placement,
    }
