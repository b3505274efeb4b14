"""The embedded stand-in: a Kubernetes API in this process, for machines where no real one can be had.

It keeps objects, checks them as the real one does, and runs nothing. ``docs/rehearsal-kubernetes.md`` has the limits.
"""

import secrets

from kubernetes_rehearsal.access_policies import bind_access_policies
from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.controllers import Controllers
from kubernetes_rehearsal.interface import Authenticate, ClusterAccess, KubernetesError, with_administrator
from kubernetes_rehearsal.inventory import Inventory
from kubernetes_rehearsal.listener import Listener
from kubernetes_rehearsal.running_clusters import RunningClusters
from kubernetes_rehearsal.standin.cluster import Cluster
from kubernetes_rehearsal.standin.server import handler_for


class StandIn:
    """Clusters in this process, each on its own port."""

    name = "embedded stand-in; make kube-apiserver builds a real one where Go is"

    def __init__(self) -> None:
        self._authority = CertificateAuthority("rehearsal-kubernetes")
        self._administrator_token = secrets.token_urlsafe(32)
        self._authenticate: Authenticate | None = None
        self._clusters: RunningClusters[_Served] = RunningClusters()

    def start(self, authenticate: Authenticate) -> None:
        """Remember who answers for tokens."""

        self._authenticate = with_administrator(authenticate, self._administrator_token)

    def stop(self) -> None:
        """Close every port."""
        self._clusters.stop()
        self._authenticate = None

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Serve a new, empty cluster; well below a second."""
        identify = self._authenticate
        if identify is None:
            raise KubernetesError(f"cluster {key}: the Kubernetes API is not started")
        return self._clusters.create(
            key, lambda: _Served(Cluster(version), self._authority, identify, self._administrator_token)
        )

    def delete_cluster(self, key: str) -> None:
        """Close the cluster's port and forget its objects."""
        self._clusters.delete(key)

    def leftovers(self, key: str) -> list[str]:
        """Objects that a new cluster does not have."""
        return self._clusters.leftovers(key)


class _Served:
    """A cluster with its listener and its controllers."""

    def __init__(
        self, cluster: Cluster, authority: CertificateAuthority, authenticate: Authenticate, token: str
    ) -> None:
        self._listener = Listener(handler_for(cluster, authenticate), authority.issue("kube-apiserver"))
        self.access = ClusterAccess(self._listener.url, authority.pem)
        self._client = ApiClient(self.access, token)
        bind_access_policies(self._client)
        self.inventory = Inventory(self._client)
        self._controllers = Controllers(ApiClient(self.access, token), namespaces=True)

    def stop(self) -> None:
        """Close the port."""
        self._controllers.stop()
        self._client.close()
        self._listener.stop()
