"""Fields of Kubernetes objects that the API does not let anybody change.

https://github.com/kubernetes/kubernetes/tree/master/pkg/apis, ``validation`` of each API group
"""

from collections.abc import Sequence
from typing import Any

from delivery.gate.changes import Difference

_IMMUTABLE = {
    "ClusterRoleBinding": ("roleRef",),
    "CustomResourceDefinition": ("spec.group", "spec.names.kind", "spec.names.plural", "spec.scope"),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "IngressClass": ("spec.controller",),
    "Job": ("spec.completionMode", "spec.selector", "spec.template"),
    "PersistentVolume": ("spec.csi", "spec.nodeAffinity", "spec.volumeMode"),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "PriorityClass": ("preemptionPolicy", "value"),
    "ReplicaSet": ("spec.selector",),
    "RoleBinding": ("roleRef",),
    "RuntimeClass": ("handler",),
    "Service": ("spec.clusterIP",),
    "StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
}
_STATEFUL_SET_MUTABLE = frozenset(
    {
        "minReadySeconds",
        "ordinals",
        "persistentVolumeClaimRetentionPolicy",
        "replicas",
        "revisionHistoryLimit",
        "template",
        "updateStrategy",
    }
)
"""https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/; all else of its spec stays."""


def why_immutable(old: dict[str, Any], new: dict[str, Any], found: Sequence[Difference]) -> str:
    """Which field cannot change, and what to do, or nothing."""
    kind = new["kind"]
    for one in found:
        place = ".".join(one.place)
        fields = _IMMUTABLE.get(kind, ())
        if any(place == field or place.startswith(f"{field}.") for field in fields):
            return _words(kind, place)
        if kind == "StatefulSet" and one.place[0] == "spec" and _field(one) not in _STATEFUL_SET_MUTABLE:
            return _words(kind, place)
        if (
            kind in ("ConfigMap", "Secret")
            and old.get("immutable")
            and one.place[0] in ("data", "binaryData", "immutable")
        ):
            return _words(kind, place)
    return ""


def _field(one: Difference) -> str:
    return one.place[1] if len(one.place) > 1 else ""


def _words(kind: str, place: str) -> str:
    return f"{place} of a {kind} cannot change, so the deployment would fail; give the object another name"
