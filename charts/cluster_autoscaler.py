from typing import Any

from constructs import Construct

from charts.manifest_chart import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    Manifest,
    ManifestChart,
    metadata,
    role_with_binding,
)

NAME = "cluster-autoscaler"
NAMESPACE = "kube-system"

_READ = ["get", "list", "watch"]
_CLUSTER_RULES: list[Manifest] = [
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["update"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": [*_READ, "update", "patch"]},
    {
        "apiGroups": [""],
        "resources": [
            "namespaces",
            "pods",
            "services",
            "replicationcontrollers",
            "persistentvolumeclaims",
            "persistentvolumes",
        ],
        "verbs": _READ,
    },
    {"apiGroups": ["apps"], "resources": ["daemonsets", "replicasets", "statefulsets"], "verbs": _READ},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": _READ},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": _READ},
    {
        "apiGroups": ["storage.k8s.io"],
        "resources": ["storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments"],
        "verbs": _READ,
    },
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["deviceclasses", "resourceclaims", "resourceslices"],
        "verbs": _READ,
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": [NAME],
        "verbs": ["get", "update"],
    },
]
_STATUS_RULES: list[Manifest] = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "list", "watch"]},
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": ["cluster-autoscaler-status", "cluster-autoscaler-priority-expander"],
        "verbs": ["delete", "get", "update", "watch"],
    },
]


class ClusterAutoscaler(ManifestChart):
    """Adds a node when a pod finds no room, takes idle nodes away; a group of GPUs goes back to zero.

    Groups are found by the tags that managed node groups put on their Auto Scaling groups. Those that differ in zone
    only are kept balanced, because each zone has a group of its own.

    :param cluster_name: the EKS cluster whose groups it scales.
    :param region: the AWS region; nodes hide their metadata from pods.
    :param image: the autoscaler's image; its minor must be the cluster's.
    :param placement: tolerations and node selection of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cluster_name: str,
        region: str,
        image: str,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        bound = {"service_account": NAME, "account_namespace": NAMESPACE}
        self.add(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME, NAMESPACE)},
            *role_with_binding(NAME, _CLUSTER_RULES, **bound),
            *role_with_binding(NAME, _STATUS_RULES, namespace=NAMESPACE, **bound),
            self._deployment(image, region, _arguments(cluster_name), placement),
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": metadata(NAME, NAMESPACE),
                "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}}},
            },
        )

    @staticmethod
    def _deployment(image: str, region: str, arguments: list[str], placement: Manifest) -> dict[str, Any]:
        health = {"httpGet": {"path": "/health-check", "port": "metrics"}}
        container = {
            "name": NAME,
            "image": image,
            "command": ["./cluster-autoscaler", *arguments],
            "env": [{"name": "AWS_REGION", "value": region}],
            "ports": [{"name": "metrics", "containerPort": 8085}],
            "resources": {"requests": {"cpu": "100m", "memory": "600Mi"}, "limits": {"memory": "600Mi"}},
            "livenessProbe": {**health, "initialDelaySeconds": 60, "failureThreshold": 3},
            "readinessProbe": health,
            "securityContext": RESTRICTED_CONTAINER,
        }
        labels = {"app.kubernetes.io/name": NAME}
        spread = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
        pod = {
            "serviceAccountName": NAME,
            "priorityClassName": "system-cluster-critical",
            "securityContext": {**RESTRICTED_POD, "runAsUser": 65534, "fsGroup": 65534},
            "topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": labels}}],
            "containers": [container],
            **placement,
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(NAME, NAMESPACE),
            "spec": {
                "replicas": 2,  # the second waits for the lease of the first
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


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
        "--logtostderr=true",
        "--v=2",
    ]
