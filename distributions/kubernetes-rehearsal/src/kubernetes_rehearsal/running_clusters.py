"""The clusters of one Kubernetes API, by their keys."""

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from kubernetes_rehearsal.interface import ClusterAccess, KubernetesError
from kubernetes_rehearsal.inventory import Inventory


class RunningCluster(Protocol):
    """A cluster that answers."""

    access: ClusterAccess
    inventory: Inventory

    def stop(self) -> None: ...


C = TypeVar("C", bound=RunningCluster)


class RunningClusters(Generic[C]):
    """Several threads create, use and delete them."""

    def __init__(self) -> None:
        self._clusters: dict[str, C | None] = {}
        self._lock = threading.Lock()

    def create(self, key: str, make: Callable[[], C]) -> ClusterAccess:
        """Make a cluster. Its key is taken from the beginning.

        :raises KubernetesError: where the cluster exists already.
        """
        with self._lock:
            if key in self._clusters:
                raise KubernetesError(f"cluster {key}: exists; delete it first")
            self._clusters[key] = None
        try:
            cluster = make()
        except BaseException:
            with self._lock:
                self._clusters.pop(key, None)
            raise
        with self._lock:
            self._clusters[key] = cluster
        return cluster.access

    def delete(self, key: str) -> C | None:
        """Stop a cluster and forget it; None where there is none."""
        with self._lock:
            cluster = self._clusters.pop(key, None)
        if cluster:
            cluster.stop()
        return cluster

    def stop(self) -> None:
        """Stop all of them."""
        with self._lock:
            keys = list(self._clusters)
        for key in keys:
            self.delete(key)

    def get(self, key: str) -> C | None:
        """A cluster, or None where there is none or it still starts."""
        return self._clusters.get(key)

    def found(self, key: str) -> C:
        """A cluster.

        :raises KubernetesError: where there is none.
        """
        cluster = self._clusters.get(key)
        if not cluster:
            raise KubernetesError(f"cluster {key}: does not exist; create it first")
        return cluster

    def running(self) -> list[C]:
        """Those that answer."""
        with self._lock:
            return [cluster for cluster in self._clusters.values() if cluster]

    def leftovers(self, key: str) -> list[str]:
        """Objects that a cluster did not have when it was new. Waits for those that are being deleted."""
        cluster = self._clusters.get(key)
        return cluster.inventory.settled() if cluster else []
