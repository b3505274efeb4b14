"""The embedded stand-in: a Kubernetes API in this process, for machines where no real one can be had.

It keeps objects, checks them as the real one does, and runs nothing. ``docs/rehearsal-kubernetes.md`` has the limits.
"""

import secrets
import threading

from rehearsal.kubernetes.access_policies import bind_access_policies
from rehearsal.kubernetes.certificates import CertificateAuthority
from rehearsal.kubernetes.client import ApiClient
from rehearsal.kubernetes.controllers import Controllers
from rehearsal.kubernetes.interface import Authenticate, ClusterAccess, KubernetesError, with_administrator
from rehearsal.kubernetes.inventory import Inventory
from rehearsal.kubernetes.listener import Listener
from rehearsal.kubernetes.standin.cluster import Cluster
from rehearsal.kubernetes.standin.server import handler_for


class StandIn:
    """Clusters in this process, each behind a port of its own."""

    name = "embedded stand-in; make kube-apiserver builds a real one where Go is"

    def __init__(self) -> None:
        self._authority = CertificateAuthority("rehearsal-kubernetes")
        self._administrator_token = secrets.token_urlsafe(32)
        self._authenticate: Authenticate | None = None
        self._clusters: dict[str, _Served] = {}
        self._lock = threading.Lock()

    def start(self, authenticate: Authenticate) -> None:
        """Remember who answers for tokens."""

        self._authenticate = with_administrator(authenticate, self._administrator_token)

    def stop(self) -> None:
        """Close every port."""
        for key in list(self._clusters):
            self.delete_cluster(key)
        self._authenticate = None

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Serve a new, empty cluster; well below a second."""
        with self._lock:
            if self._authenticate is None:
                raise KubernetesError(f"cluster {key}: the Kubernetes API is not started")
            if key in self._clusters:
                raise KubernetesError(f"cluster {key}: is there already; delete it first")
            served = _Served(Cluster(version), self._authority, self._authenticate, self._administrator_token)
            self._clusters[key] = served
            return served.access

    def delete_cluster(self, key: str) -> None:
        """Close the cluster's port and forget its objects."""
        with self._lock:
            served = self._clusters.pop(key, None)
        if served:
            served.stop()

    def leftovers(self, key: str) -> list[str]:
        """What is there that a new cluster does not have."""
        served = self._clusters.get(key)
        return served.inventory.added() if served else []


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
