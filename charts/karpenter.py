"""Karpenter, by its official Helm charts, and the nodes that it may make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from constructs import Construct

from charts.images import Images
from charts.manifest_chart import Manifest, ManifestChart, metadata

NAME = "karpenter"
NAMESPACE = "kube-system"

_IDLE = "5m"
_LIFE = "720h"  # then a node is replaced by one with the newest image


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


@dataclass(frozen=True, kw_only=True)
class NodePool:
    """A group of nodes that Karpenter makes and takes away.

    :param cpus: of all its nodes together, at most.
    :param image: ``al2023``, ``bottlerocket``, or the id of an image that starts as Amazon Linux 2023 does.
    :param accelerated: whether its nodes have accelerators. Then a node goes only when it is empty: work that runs for
        days is not moved for a cheaper node.
    """

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, str]]
    instance_types: Sequence[str]
    architecture: Literal["amd64", "arm64"]
    capacity: Literal["on-demand", "spot"]
    zones: Sequence[str]
    cpus: int
    image: str
    disk_gib: int
    max_pods: int | None
    accelerated: bool


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What all nodes of a cluster have in common.

    :param instance_profile: with the nodes' role.
    :param security_group_id: of the nodes.
    :param subnet_tags: tags of the subnets to use.
    """

    instance_profile: str
    security_group_id: str
    subnet_tags: Mapping[str, str]


class KarpenterNodes(ManifestChart):
    """A NodePool and an EC2NodeClass for each group of nodes.

    Nodes start from EKS's newest image for the cluster's Kubernetes minor. When there is a newer one, Karpenter
    replaces them, one at a time in each group, and heeds disruption budgets while it drains them.
    """

    def __init__(self, scope: Construct, id: str, *, pools: Sequence[NodePool], settings: NodeSettings) -> None:
        super().__init__(scope, id)
        for pool in pools:
            self.add(_node_class(pool, settings), _node_pool(pool))


def _node_pool(pool: NodePool) -> Manifest:
    requirements = {
        "karpenter.sh/capacity-type": [pool.capacity],
        "kubernetes.io/arch": [pool.architecture],
        "kubernetes.io/os": ["linux"],
        "node.kubernetes.io/instance-type": list(pool.instance_types),
        "topology.kubernetes.io/zone": list(pool.zones),
    }
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": metadata(pool.name),
        "spec": {
            "limits": {"cpu": str(pool.cpus)},
            "disruption": {
                "consolidationPolicy": "WhenEmpty" if pool.accelerated else "WhenEmptyOrUnderutilized",
                "consolidateAfter": _IDLE,
                "budgets": [{"nodes": "10%"}, {"nodes": "1", "reasons": ["Drifted"]}],
            },
            "template": {
                "metadata": {"labels": dict(pool.labels)},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": pool.name},
                    "taints": [dict(taint) for taint in pool.taints],
                    "expireAfter": _LIFE,
                    "requirements": [
                        {"key": key, "operator": "In", "values": values} for key, values in requirements.items()
                    ],
                },
            },
        },
    }


def _node_class(pool: NodePool, settings: NodeSettings) -> Manifest:
    """Encrypted disks, and instance metadata that stop at the node, as in managed node groups."""
    own_image = pool.image.startswith("ami-")
    return {
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": metadata(pool.name),
        "spec": {
            **({"amiFamily": "AL2023"} if own_image else {}),
            "amiSelectorTerms": [{"id": pool.image} if own_image else {"alias": f"{pool.image}@latest"}],
            "instanceProfile": settings.instance_profile,
            "securityGroupSelectorTerms": [{"id": settings.security_group_id}],
            "subnetSelectorTerms": [{"tags": dict(settings.subnet_tags)}],
            "blockDeviceMappings": [
                {
                    # Bottlerocket's first disk is its system.
                    "deviceName": "/dev/xvdb" if pool.image == "bottlerocket" else "/dev/xvda",
                    "ebs": {
                        "encrypted": True,
                        "volumeType": "gp3",
                        "volumeSize": f"{pool.disk_gib}Gi",
                        "deleteOnTermination": True,
                    },
                }
            ],
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpProtocolIPv6": "disabled",
                "httpPutResponseHopLimit": 1,
                "httpTokens": "required",
            },
            **({"kubelet": {"maxPods": pool.max_pods}} if pool.max_pods else {}),
        },
    }
