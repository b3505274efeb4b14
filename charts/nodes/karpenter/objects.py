"""Node pools of Karpenter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, metadata

_IDLE = "5m"
_LIFE = "720h"  # then a node is replaced by one with the newest image
_DRAIN = "24h"  # then a node that is drained ends with the pods that are left
_ACCELERATED_DRAIN = "72h"


@dataclass(frozen=True, kw_only=True)
class NodePool:
    """A group of nodes that Karpenter creates and deletes.

    :param cpus: of all its nodes together, at most.
    :param image: ``al2023``, ``bottlerocket``, or the id of an image that starts as Amazon Linux 2023 does.
    :param accelerated: whether its nodes have accelerators. Such a node is deleted only when it is empty:
        work that runs for days is not moved for a cheaper node. Its local disks become one, for containers and
        ``emptyDir`` volumes.
    :param disk_throughput: of its disk, MiB/s.
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
    disk_throughput: int
    max_pods: int | None
    accelerated: bool


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """What all nodes of a cluster have in common.

    :param instance_profile: with the nodes' role.
    :param security_group_id: of the nodes.
    :param subnet_tags: tags of the subnets to use.
    :param cluster_name: the EBS driver may attach disks to nodes that carry it.
    """

    cluster_name: str
    instance_profile: str
    security_group_id: str
    subnet_tags: Mapping[str, str]


class KarpenterNodes(ComponentChart):
    """A NodePool and an EC2NodeClass for each group of nodes.

    Nodes start from EKS's newest image for the cluster's Kubernetes minor. When there is a newer one, Karpenter
    replaces them, one at a time in each group, and heeds disruption budgets and ``karpenter.sh/do-not-disrupt`` while
    it drains them. It drains for a day at most, with accelerators for three: else such a pod would keep a node from
    ever being patched.

    https://karpenter.sh/docs/concepts/disruption/#terminationgraceperiod
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
                    "terminationGracePeriod": _ACCELERATED_DRAIN if pool.accelerated else _DRAIN,
                    "requirements": [
                        {"key": key, "operator": "In", "values": values} for key, values in requirements.items()
                    ],
                },
            },
        },
    }


def _node_class(pool: NodePool, settings: NodeSettings) -> Manifest:
    """Encrypted disks, and instance metadata that pods cannot reach, as in managed node groups."""
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
            "tags": {"ebs.csi.aws.com/cluster-name": settings.cluster_name},
            "blockDeviceMappings": [
                {
                    # Bottlerocket's first disk is its system.
                    "deviceName": "/dev/xvdb" if pool.image == "bottlerocket" else "/dev/xvda",
                    "ebs": {
                        "encrypted": True,
                        "volumeType": "gp3",
                        "volumeSize": f"{pool.disk_gib}Gi",
                        "throughput": pool.disk_throughput,
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
            **({"instanceStorePolicy": "RAID0"} if pool.accelerated else {}),
            **({"kubelet": {"maxPods": pool.max_pods}} if pool.max_pods else {}),
        },
    }
