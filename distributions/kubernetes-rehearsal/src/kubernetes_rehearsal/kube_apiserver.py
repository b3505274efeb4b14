"""A real Kubernetes API: kube-apiserver over etcd, with the controllers that need no nodes."""

import json
import secrets
import tempfile
import threading
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubernetes_rehearsal.access_policies import bind_access_policies
from kubernetes_rehearsal.aggregated_apis import AggregatedApis
from kubernetes_rehearsal.binaries import Binaries
from kubernetes_rehearsal.certificates import LOOPBACK, CertificateAuthority, private_key_pem
from kubernetes_rehearsal.client import ApiClient, ApiFailure
from kubernetes_rehearsal.controllers import Controllers
from kubernetes_rehearsal.etcd import Etcd
from kubernetes_rehearsal.interface import Authenticate, ClusterAccess, KubernetesError, with_administrator
from kubernetes_rehearsal.inventory import Inventory
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.processes import Server, free_port
from kubernetes_rehearsal.running_clusters import RunningClusters
from kubernetes_rehearsal.token_review import TokenReviewWebhook

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
        self._clusters: RunningClusters[_Cluster] = RunningClusters()
        self._numbers = iter(range(1, 10_000))
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._etcd: Etcd | None = None
        self._webhook: TokenReviewWebhook | None = None
        self._administrator_token = secrets.token_urlsafe(32)

    @property
    def name(self) -> str:
        """``kube-apiserver 1.35.4 in <folder>``, every available version."""
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
        self._clusters.stop()
        with self._lock:
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
        return self._clusters.create(key, lambda: self._started(key, binaries))

    def _started(self, key: str, binaries: Binaries) -> "_Cluster":
        with self._lock:
            if not self._webhook or not self._folder:
                raise KubernetesError(f"cluster {key}: the Kubernetes API is not started")
            self._etcd = self._etcd or Etcd(binaries.folder / "etcd", Path(self._folder.name))
            etcd, webhook = self._etcd, self._webhook
            folder = Path(self._folder.name, f"cluster-{next(self._numbers)}")
        folder.mkdir()
        return _Cluster(binaries, folder, etcd, webhook, self._administrator_token)

    def delete_cluster(self, key: str) -> None:
        """End the servers of the cluster and forget its keys in etcd."""
        if cluster := self._clusters.delete(key):
            cluster.forget()

    def leftovers(self, key: str) -> list[str]:
        """Objects that a new cluster does not have."""
        return self._clusters.leftovers(key)


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
        self._aggregated = AggregatedApis(folder, self._authority)
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
            self._controllers = Controllers(
                client, namespaces=not binaries.has_controllers, aggregated=self._aggregated
            )
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
        self._aggregated.stop()

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
            "egress.json": json.dumps(self._aggregated.egress()).encode(),
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
            "--authentication-token-webhook-cache-ttl=5s",  # a changed access entry takes effect immediately
            "--authorization-mode=RBAC",
            f"--egress-selector-config-file={folder}/egress.json",
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
                        f"kube-apiserver: {self.access.endpoint}{path} not ready within {_START_SECONDS} s: {error}"
                    ) from error
            time.sleep(0.1)
