"""The Kubernetes behind the rehearsed clusters: a given one, a real kube-apiserver, or an embedded stand-in."""

from rehearsal.kubernetes.choice import choose
from rehearsal.kubernetes.interface import ClusterAccess, Identity, KubernetesApi, KubernetesError

__all__ = ["ClusterAccess", "Identity", "KubernetesApi", "KubernetesError", "choose"]
