"""Clusters that the user gives by a kubeconfig.

Callers keep the tokens and groups of the rehearsal: a proxy on loopback asks who a token belongs to, and passes the
request on in that name, by impersonation.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

import http.client
import ipaddress
import secrets
import threading
import urllib.parse
from pathlib import Path

from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.interface import (
    Authenticate,
    ClusterAccess,
    Identity,
    KubernetesError,
    with_administrator,
)
from kubernetes_rehearsal.inventory import Inventory
from kubernetes_rehearsal.kubeconfig import Context, read_contexts
from kubernetes_rehearsal.listener import Handler, Listener
from kubernetes_rehearsal.running_clusters import RunningClusters

KUBECONFIG = "REHEARSAL_KUBECONFIG"
SERVERS = "REHEARSAL_KUBECONFIG_SERVERS"
_OWN_NAMESPACES = {"default", "kube-node-lease", "kube-public", "kube-system", "local-path-storage"}
_UNAUTHORIZED = b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}'
_HOP_BY_HOP = {"authorization", "connection", "content-length", "host", "transfer-encoding"}


class GivenClusters:
    """The contexts of a kubeconfig; each cluster that is created takes the next one.

    A rehearsal deletes what it deployed, so it accepts only a cluster without other users: on loopback, unless the
    user also lists its address, not an EKS cluster, and without namespaces except those of Kubernetes.

    :param path: the kubeconfig.
    :param allowed: addresses of servers that may be elsewhere than on loopback.
    :raises KubernetesError: if the file is unusable, or names another server.
    """

    def __init__(self, path: Path, allowed: list[str]) -> None:
        self._path = path
        self._contexts = read_contexts(path)
        for context in self._contexts:
            if not _is_loopback(context.server) and context.server not in allowed:
                raise KubernetesError(
                    f"{KUBECONFIG}: {path}: context {context.name}: {context.server} is not on loopback, "
                    f"and a rehearsal deletes what it finds; to allow it, list it in {SERVERS}"
                )
        self._authority = CertificateAuthority("rehearsal-proxy")
        self._administrator_token = secrets.token_urlsafe(32)
        self._authenticate: Authenticate | None = None
        self._clusters: RunningClusters[_Proxied] = RunningClusters()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """``kubeconfig <path>: <context> (<server>)``, every context."""
        return f"kubeconfig {self._path}: " + ", ".join(f"{one.name} ({one.server})" for one in self._contexts)

    def start(self, authenticate: Authenticate) -> None:
        """Remember who answers for tokens."""
        self._authenticate = with_administrator(authenticate, self._administrator_token)

    def stop(self) -> None:
        """Close every proxy. The clusters are not changed."""
        self._clusters.stop()
        self._authenticate = None

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Take the next context that no cluster of the rehearsal uses."""
        with self._lock:  # one after the other, so that each takes another context
            return self._clusters.create(key, lambda: self._take(key, version))

    def _take(self, key: str, version: str) -> "_Proxied":
        if self._authenticate is None:
            raise KubernetesError(f"cluster {key}: the Kubernetes API is not started")
        taken = {cluster.context for cluster in self._clusters.running()}
        free = [context for context in self._contexts if context.name not in taken]
        if not free:
            raise KubernetesError(f"cluster {key}: {self._path}: no context is left; give one for each cluster")
        cluster = _Proxied(free[0], self._authority, self._authenticate, self._administrator_token)
        try:
            cluster.check(key, version)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def delete_cluster(self, key: str) -> None:
        """Close the proxy. What is in the cluster stays: it is the user's."""
        self._clusters.delete(key)

    def leftovers(self, key: str) -> list[str]:
        """Objects that did not exist when the rehearsal began."""
        return self._clusters.leftovers(key)


class _Proxied:
    """One given cluster behind its proxy."""

    inventory: Inventory

    def __init__(
        self, context: Context, authority: CertificateAuthority, authenticate: Authenticate, token: str
    ) -> None:
        self.context = context.name
        self._server = context.server
        self._listener = Listener(_proxy(context, authenticate), authority.issue("kube-apiserver"))
        self.access = ClusterAccess(self._listener.url, authority.pem)
        self._client = ApiClient(self.access, token)

    def check(self, key: str, version: str) -> None:
        """:raises KubernetesError: if the cluster is not one to rehearse with."""
        place = f"cluster {key}: {self._server}"
        try:
            git_version = self._client.get("/version")["gitVersion"]
            namespaces = {one["metadata"]["name"] for one in self._client.items("/api/v1/namespaces")}
        except (ApiFailure, OSError, KeyError) as error:
            raise KubernetesError(f"{place}: does not answer an administrator: {error}") from error
        if "-eks-" in git_version:
            raise KubernetesError(f"{place}: is an EKS cluster ({git_version}); a rehearsal is for others")
        if not git_version.startswith(f"v{version}."):
            raise KubernetesError(f"{place}: runs {git_version}; give a cluster of Kubernetes {version}")
        if others := sorted(namespaces - _OWN_NAMESPACES):
            raise KubernetesError(f"{place}: is in use, it has namespaces {', '.join(others)}; give an empty cluster")
        self.inventory = Inventory(self._client)

    def stop(self) -> None:
        """Close the proxy."""
        self._client.close()
        self._listener.stop()


def _proxy(context: Context, authenticate: Authenticate) -> type[Handler]:
    url = urllib.parse.urlsplit(context.server)
    assert url.hostname

    class ProxyHandler(Handler):
        def handle_any(self) -> None:
            content = self.body()
            identity = authenticate(self.bearer_token() or "")
            if identity is None:
                self.reply(
                    401, b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}'
                )
                return
            upstream = http.client.HTTPSConnection(url.hostname or "", url.port, context=context.tls)
            try:
                self._forward(upstream, identity, content)
            finally:
                upstream.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def _forward(self, upstream: http.client.HTTPSConnection, identity: Identity, content: bytes) -> None:
            upstream.putrequest(self.command, url.path.rstrip("/") + self.path, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP and not name.lower().startswith("impersonate-"):
                    upstream.putheader(name, value)
            if context.token:
                upstream.putheader("Authorization", f"Bearer {context.token}")
            upstream.putheader("Impersonate-User", identity.username)
            for group in identity.groups:
                upstream.putheader("Impersonate-Group", group)
            upstream.putheader("Content-Length", str(len(content)))
            upstream.endheaders(content)
            self._relay(upstream.getresponse())

        def _relay(self, response: http.client.HTTPResponse) -> None:
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while part := response.read1(65536):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

    return ProxyHandler


def _is_loopback(server: str) -> bool:
    host = urllib.parse.urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
