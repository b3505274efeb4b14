"""A real Kubernetes API: kube-apiserver over etcd, with the controllers that need no nodes."""

import json
import secrets
import tempfile
import threading
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rehearsal.kubernetes.access_policies import bind_access_policies
from rehearsal.kubernetes.binaries import Binaries
from rehearsal.kubernetes.certificates import LOOPBACK, CertificateAuthority, private_key_pem
from rehearsal.kubernetes.client import ApiClient, ApiFailure
from rehearsal.kubernetes.controllers import Controllers
from rehearsal.kubernetes.etcd import Etcd
from rehearsal.kubernetes.interface import Authenticate, ClusterAccess, KubernetesError, with_administrator
from rehearsal.kubernetes.inventory import Inventory
from rehearsal.kubernetes.kubeconfig import kubeconfig
from rehearsal.kubernetes.processes import Server, free_port
from rehearsal.kubernetes.token_review import TokenReviewWebhook

_START_SECONDS = 60
# Those that keep what the API alone leaves undone, and that need no nodes.
_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
)
# Nothing serves a webhook here: objects would be refused that AWS accepts once the webhook's pods are up.
_ADMISSION_OFF = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")


class KubeApiServer:
    """A kube-apiserver a cluster, all over one etcd. Servers start when the first cluster is created.

    :param binaries: the sets of servers to choose from by minor, the preferred first.
    """

    def __init__(self, binaries: list[Binaries]) -> None:
        self._binaries = {found.minor: found for found in reversed(binaries)}
        self._clusters: dict[str, _Cluster | None] = {}
        self._numbers = iter(range(1, 10_000))
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._etcd: Etcd | None = None
        self._webhook: TokenReviewWebhook | None = None
        self._administrator_token = secrets.token_urlsafe(32)

    @property
    def name(self) -> str:
        """``kube-apiserver 1.35.4 in <folder>``, every version that there is."""
        return "; ".join(
            f"kube-apiserver {found.version} with etcd in {found.folder}"
            + ("" if found.has_controllers else ", without kube-controller-manager")
            for found in self._binaries.values()
        )

    def start(self, authenticate: Authenticate) -> None:
        """Serve the webhook that ``authenticate`` answers."""
        self._folder = tempfile.TemporaryDirectory(prefix="rehearsal-kubernetes-")
        identify = with_administrator(authenticate, self._administrator_token)
        self._webhook = TokenReviewWebhook(CertificateAuthority("rehearsal-token-review"), identify)

    def stop(self) -> None:
        """End everything, and remove what was written."""
        with self._lock:
            for cluster in self._clusters.values():
                if cluster:
                    cluster.stop()
            self._clusters.clear()
            if self._etcd:
                self._etcd.stop()
            if self._webhook:
                self._webhook.stop()
            if self._folder:
                self._folder.cleanup()
            self._etcd, self._webhook, self._folder = None, None, None

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Start a kube-apiserver and its controllers; seconds."""
        binaries = self._binaries.get(version)
        if not binaries:
            there = ", ".join(sorted(self._binaries))
            raise KubernetesError(
                f"cluster {key}: Kubernetes {version} is not here, only {there}; "
                f"run make kube-apiserver KUBERNETES={version}"
            )
        with self._lock:
            if not self._webhook or not self._folder:
                raise KubernetesError(f"cluster {key}: the Kubernetes API is not started")
            if key in self._clusters:
                raise KubernetesError(f"cluster {key}: is there already; delete it first")
            self._clusters[key] = None  # taken, while it starts
            number = next(self._numbers)
            self._etcd = self._etcd or Etcd(binaries.folder / "etcd", Path(self._folder.name))
            etcd, webhook = self._etcd, self._webhook
            folder = Path(self._folder.name, f"cluster-{number}")
        try:
            folder.mkdir()
            cluster = _Cluster(binaries, folder, etcd, webhook, self._administrator_token)
        except BaseException:
            self._clusters.pop(key)
            raise
        self._clusters[key] = cluster
        return cluster.access

    def delete_cluster(self, key: str) -> None:
        """End the servers of the cluster and forget its keys in etcd."""
        cluster = self._clusters.pop(key, None)
        if cluster:
            cluster.stop()
            cluster.forget()

    def leftovers(self, key: str) -> list[str]:
        """What is there that a new cluster does not have."""
        cluster = self._clusters.get(key)
        return cluster.inventory.added() if cluster else []


class _Cluster:
    """One kube-apiserver, its kube-controller-manager, and the rehearsal's own controllers."""

    def __init__(
        self, binaries: Binaries, folder: Path, etcd: Etcd, webhook: TokenReviewWebhook, administrator_token: str
    ) -> None:
        self._folder = folder
        self._etcd = etcd
        self._prefix = f"/{folder.name}/"
        self._authority = CertificateAuthority(f"rehearsal-{folder.name}")
        port = free_port()
        self.access = ClusterAccess(f"https://{LOOPBACK}:{port}", self._authority.pem)
        self._write_files(webhook)
        self._servers = [Server(self._api_command(binaries, port), log=folder / "kube-apiserver.log")]
        self._controllers: Controllers | None = None
        try:
            client = ApiClient(self.access, administrator_token)
            self._wait(client, "/readyz")
            if binaries.has_controllers:
                self._servers.append(
                    Server(self._manager_command(binaries), log=folder / "kube-controller-manager.log")
                )
            self._controllers = Controllers(client, namespaces=not binaries.has_controllers)
            self._wait(client, "/api/v1/namespaces/default/serviceaccounts/default")
            self._client = ApiClient(self.access, administrator_token)
            bind_access_policies(self._client)
            self.inventory = Inventory(self._client)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the servers, controllers first."""
        if self._controllers:
            self._controllers.stop()
        for server in reversed(self._servers):
            server.stop()

    def forget(self) -> None:
        """Delete the data."""
        self._etcd.delete(self._prefix)

    def _write_files(self, webhook: TokenReviewWebhook) -> None:
        serving = self._authority.issue("kube-apiserver")
        manager = self._authority.issue("system:kube-controller-manager")
        accounts = ec.generate_private_key(ec.SECP256R1())
        public = accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        user = {"client-certificate": f"{self._folder}/manager.pem", "client-key": f"{self._folder}/manager.key"}
        for name, content in {
            "ca.pem": self._authority.pem.encode(),
            "serving.pem": serving.certificate,
            "serving.key": serving.key,
            "manager.pem": manager.certificate,
            "manager.key": manager.key,
            "accounts.key": private_key_pem(accounts),
            "accounts.pub": public,
            "token-review.json": json.dumps(webhook.kubeconfig()).encode(),
            "manager.json": json.dumps(kubeconfig(self.access.endpoint, self._authority.pem, user)).encode(),
        }.items():
            file = self._folder / name
            file.touch(mode=0o600)
            file.write_bytes(content)

    def _api_command(self, binaries: Binaries, port: int) -> list[str]:
        folder = self._folder
        return [
            f"{binaries.folder}/kube-apiserver",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={port}",
            f"--etcd-servers={self._etcd.url}",
            f"--etcd-prefix={self._prefix}",
            f"--etcd-cafile={self._etcd.authority}",
            f"--etcd-certfile={self._etcd.certificate}",
            f"--etcd-keyfile={self._etcd.key}",
            f"--tls-cert-file={folder}/serving.pem",
            f"--tls-private-key-file={folder}/serving.key",
            f"--client-ca-file={folder}/ca.pem",
            "--anonymous-auth=false",
            "--allow-privileged",  # as EKS; privileged pods are the business of pod security
            f"--authentication-token-webhook-config-file={folder}/token-review.json",
            "--authentication-token-webhook-version=v1",
            "--authentication-token-webhook-cache-ttl=5s",  # a changed access entry counts at once
            "--authorization-mode=RBAC",
            f"--disable-admission-plugins={','.join(_ADMISSION_OFF)}",
            f"--service-account-issuer={self.access.endpoint}",
            f"--service-account-key-file={folder}/accounts.pub",
            f"--service-account-signing-key-file={folder}/accounts.key",
            "--service-cluster-ip-range=172.20.0.0/16",  # as EKS chooses in most VPCs
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        ]

    def _manager_command(self, binaries: Binaries) -> list[str]:
        folder = self._folder
        return [
            f"{binaries.folder}/kube-controller-manager",
            f"--kubeconfig={folder}/manager.json",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--use-service-account-credentials",
            f"--root-ca-file={folder}/ca.pem",
            "--leader-elect=false",
            "--secure-port=0",
            "--profiling=false",
        ]

    def _wait(self, client: ApiClient, path: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            for server in self._servers:
                server.check()
            try:
                client.get(path)
                return
            except (ApiFailure, OSError) as error:
                if time.monotonic() > deadline:
                    raise KubernetesError(
                        f"kube-apiserver: {self.access.endpoint}{path} not there in {_START_SECONDS} s: {error}"
                    ) from error
            time.sleep(0.1)
