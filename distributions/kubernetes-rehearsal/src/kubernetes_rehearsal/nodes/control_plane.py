"""Files and commands of a sandbox's control plane: etcd, kube-apiserver, all controllers, the scheduler."""

import base64
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubernetes_rehearsal.certificates import CertificateAuthority, private_key_pem
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.nodes import network
from kubernetes_rehearsal.nodes.machine import environment
from kubernetes_rehearsal.programs import NodePrograms

API_URL = f"https://{network.CONTROL_PLANE}:{network.API_PORT}"
API_AUDIENCE = "https://kubernetes.default.svc"
API_NAMES = (
    network.CONTROL_PLANE,
    network.API_SERVICE,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_ETCD = "http://127.0.0.1:2379"  # the sandbox's own loopback
# A container runtime's own limits are fixed on the machine, and a kubelet refuses to start where it may not set them.
_KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
# Writes of privileged containers to the machine's folders land in memory: the sandbox's root is an overlay.
_ROOT_SETUP = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work /run/root
mount -t overlay overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work /run/root
for tree in /proc /sys /dev; do mount --rbind "$tree" "/run/root$tree"; done
for folder in {read}; do
  mkdir -p "/run/root$folder"
  mount --bind "$folder" "/run/root$folder"
  mount -o remount,bind,ro "/run/root$folder"
done
mkdir -p "/run/root{state}"
mount --bind "{state}" "/run/root{state}"
mkdir /run/root/mnt/old
pivot_root /run/root /run/root/mnt/old
cd /
umount -l /mnt/old
mount -t tmpfs tmpfs /run
mount --make-rshared /
"""


@dataclass(frozen=True)
class ControlPlane:
    """The control plane of one cluster.

    :param folder: state folder, private.
    :param service_account_issuer: URL in the tokens of service accounts.
    :param token_review: kubeconfig of the webhook that knows bearer tokens.
    """

    folder: Path
    programs: NodePrograms
    authority: CertificateAuthority
    service_account_issuer: str
    token_review: dict[str, Any]

    def write(self) -> None:
        """Write certificates, configuration and the plan of the first process."""
        files = self.folder / "control-plane"
        files.mkdir(mode=0o700)
        front = CertificateAuthority("rehearsal-front-proxy")
        accounts = ec.generate_private_key(ec.SECP256R1())
        public = accounts.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pairs = {
            "serving": self.authority.issue("kube-apiserver", hosts=API_NAMES),
            "kubelet-client": self.authority.issue("kube-apiserver-kubelet-client", "system:masters"),
            "front-proxy": front.issue("front-proxy-client"),
        }
        content: dict[str, bytes] = {
            "ca.pem": self.authority.pem.encode(),
            "front-ca.pem": front.pem.encode(),
            "accounts.key": private_key_pem(accounts),
            "accounts.pub": public,
            "token-review.json": json.dumps(self.token_review).encode(),
        }
        for name, pair in pairs.items():
            content |= {f"{name}.pem": pair.certificate, f"{name}.key": pair.key}
        for component in ("kube-controller-manager", "kube-scheduler"):
            content[f"{component}.json"] = client_configuration(self.authority, f"system:{component}")
        for name, text in content.items():
            write_private(files / name, text)
        write_private(self.folder / "init.json", json.dumps(self._plan(files)).encode())

    @property
    def started(self) -> Path:
        """File that exists once the network is set up and servers are starting."""
        return self.folder / "started"

    def _plan(self, files: Path) -> dict[str, Any]:
        read = (self.programs.binaries, self.programs.debian, Path(__file__).parent, Path(sys.prefix))
        settings = "\n".join(
            f"echo {value} > /run/{name.replace('/', '-')}\n"
            f"[ ! -e /proc/sys/{name} ] || mount --bind /run/{name.replace('/', '-')} /proc/sys/{name}"
            for name, value in _KERNEL_SETTINGS.items()
        )
        root = _ROOT_SETUP.format(read=" ".join(f"'{folder}'" for folder in read), state=self.folder)
        commands = {
            "etcd": self._etcd(),
            "kube-apiserver": self._api_server(files),
            "kube-controller-manager": self._controllers(files),
            "kube-scheduler": [
                f"{self.programs.binaries}/kube-scheduler",
                f"--kubeconfig={files}/kube-scheduler.json",
                f"--authentication-kubeconfig={files}/kube-scheduler.json",
                f"--authorization-kubeconfig={files}/kube-scheduler.json",
                "--leader-elect=false",
                "--secure-port=0",
            ],
        }
        return {
            "setup": root + settings + network.CONTROL_PLANE_SETUP,
            "environment": environment(self.programs),
            "log": str(self.folder / "sandbox.log"),
            "started": str(self.started),
            "servers": [
                {"command": command, "log": str(self.folder / f"{name}.log")} for name, command in commands.items()
            ],
        }

    def _etcd(self) -> list[str]:
        return [
            f"{self.programs.binaries}/etcd",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",  # the data need not survive this machine's power
            "--log-level=warn",
        ]

    def _api_server(self, files: Path) -> list[str]:
        return [
            f"{self.programs.binaries}/kube-apiserver",
            f"--bind-address={network.CONTROL_PLANE}",
            f"--advertise-address={network.CONTROL_PLANE}",
            f"--secure-port={network.API_PORT}",
            f"--etcd-servers={_ETCD}",
            f"--tls-cert-file={files}/serving.pem",
            f"--tls-private-key-file={files}/serving.key",
            f"--client-ca-file={files}/ca.pem",
            f"--kubelet-client-certificate={files}/kubelet-client.pem",
            f"--kubelet-client-key={files}/kubelet-client.key",
            f"--kubelet-certificate-authority={files}/ca.pem",
            "--kubelet-preferred-address-types=InternalIP",
            "--enable-aggregator-routing",  # straight to pods: the control plane has no kube-proxy, as on EKS
            f"--requestheader-client-ca-file={files}/front-ca.pem",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={files}/front-proxy.pem",
            f"--proxy-client-key-file={files}/front-proxy.key",
            "--anonymous-auth=false",
            "--allow-privileged",  # as EKS; privileged pods are the business of pod security
            f"--authentication-token-webhook-config-file={files}/token-review.json",
            "--authentication-token-webhook-version=v1",
            "--authentication-token-webhook-cache-ttl=5s",  # a changed access entry takes effect immediately
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-issuer={self.service_account_issuer}",
            f"--service-account-key-file={files}/accounts.pub",
            f"--service-account-signing-key-file={files}/accounts.key",
            f"--api-audiences={','.join(dict.fromkeys((self.service_account_issuer, API_AUDIENCE)))}",
            f"--service-cluster-ip-range={network.SERVICES}",
            "--request-timeout=15m",  # pods share its processors; its own minute is too short while they start
            "--profiling=false",
        ]

    def _controllers(self, files: Path) -> list[str]:
        return [
            f"{self.programs.binaries}/kube-controller-manager",
            f"--kubeconfig={files}/kube-controller-manager.json",
            f"--authentication-kubeconfig={files}/kube-controller-manager.json",
            f"--authorization-kubeconfig={files}/kube-controller-manager.json",
            "--use-service-account-credentials",
            f"--root-ca-file={files}/ca.pem",
            f"--service-account-private-key-file={files}/accounts.key",
            "--leader-elect=false",
            "--node-monitor-grace-period=5m",  # a kubelet that shares its processors is late, and not gone
            "--secure-port=0",
            "--profiling=false",
        ]


def client_configuration(authority: CertificateAuthority, user: str, group: str | None = None) -> bytes:
    """A kubeconfig, as JSON, of a component within the sandbox, with its own client certificate."""
    issued = authority.issue(user, group)
    credentials = {"client-certificate-data": encoded(issued.certificate), "client-key-data": encoded(issued.key)}
    return json.dumps(kubeconfig(API_URL, authority.pem, credentials)).encode()


def encoded(content: bytes) -> str:
    """Base64, as kubeconfig files hold certificates."""
    return base64.b64encode(content).decode()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)
