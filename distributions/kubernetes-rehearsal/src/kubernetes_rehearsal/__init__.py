"""The Kubernetes behind the rehearsed clusters: a given one, a real kube-apiserver, or an embedded stand-in."""

from kubernetes_rehearsal.choice import choose
from kubernetes_rehearsal.interface import ClusterAccess, Identity, KubernetesApi, KubernetesError

__all__ = ["ClusterAccess", "Identity", "KubernetesApi", "KubernetesError", "choose"]
