from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.controller import Controller
from charts.kit.objects import Manifest
from charts.kit.rbac import READ, rule
from charts.kit.security import NOBODY, run_as
from charts.kit.workloads import http_probes, resources

NAME = "cluster-autoscaler"
NAMESPACE = "kube-system"

_CLUSTER_RULES = [
    rule("", "events", "create patch"),
    rule("", "pods/eviction", "create"),
    rule("", "pods/status", "update"),
    rule("", "nodes", f"{READ} update patch"),
    rule("", "namespaces pods services replicationcontrollers persistentvolumeclaims persistentvolumes"),
    rule("apps", "daemonsets replicasets statefulsets"),
    rule("batch", "jobs"),
    rule("policy", "poddisruptionbudgets"),
    rule("storage.k8s.io", "storageclasses csinodes csidrivers csistoragecapacities volumeattachments"),
    rule("resource.k8s.io", "deviceclasses resourceclaims resourceslices"),
]
_STATUS = ["cluster-autoscaler-status", "cluster-autoscaler-priority-expander"]
_STATUS_RULES = [
    rule("", "configmaps", "create list watch"),
    rule("", "configmaps", "delete get update watch", names=_STATUS),
]


class ClusterAutoscaler(ComponentChart):
    """The Cluster Autoscaler: adds a node when a pod finds no room and removes idle nodes, GPU nodes down to zero.

    Groups are found by the tags that managed node groups put on their Auto Scaling groups. Those that differ in zone
    only are kept balanced, because each zone has a group of its own. A GPU node is idle only when none of its GPUs is
    requested: the ordinary threshold of one half would evict a job that uses one GPU of eight.

    :param cluster_name: the EKS cluster whose groups it scales.
    :param region: the AWS region; nodes hide their metadata from pods.
    :param image: the autoscaler's image; its minor must be the cluster's.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self, scope: Construct, id: str, *, cluster_name: str, region: str, image: str, placement: Manifest
    ) -> None:
        super().__init__(scope, id)
        controller = Controller(
            name=NAME,
            namespace=NAMESPACE,
            image=image,
            command=["./cluster-autoscaler", *_arguments(cluster_name)],
            env={"AWS_REGION": region},
            ports={"metrics": 8085},
            probes=http_probes("metrics", live="/health-check", ready="/health-check", start_seconds=60),
            resources=resources(cpu="100m", memory="600Mi"),
            cluster=_CLUSTER_RULES,
            local=_STATUS_RULES,
            security=run_as(NOBODY),
            placement=placement,
        )
        self.add(*controller.objects())


def _arguments(cluster_name: str) -> list[str]:
    tags = f"k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/{cluster_name}"
    return [
        "--cloud-provider=aws",
        f"--cluster-name={cluster_name}",
        f"--node-group-auto-discovery=asg:tag={tags}",
        "--balance-similar-node-groups=true",
        "--expander=least-waste",
        "--skip-nodes-with-local-storage=false",
        "--skip-nodes-with-system-pods=false",
        "--scale-down-unneeded-time=10m",
        "--scale-down-gpu-utilization-threshold=0.0001",
        "--logtostderr=true",
        "--v=2",
    ]
