"""Files and commands of one node: container runtime, kubelet, kube-proxy, and the engine of network policies."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.certificates import CertificateAuthority
from kubernetes_rehearsal.nodes import network
from kubernetes_rehearsal.nodes.control_plane import client_configuration, write_private
from kubernetes_rehearsal.nodes.machine import environment
from kubernetes_rehearsal.programs import NodePrograms

PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
RUNTIME_SOCKET = "/run/containerd/containerd.sock"
_PREPARED_POD_NETWORK = "prepared/10-pods.conflist"
_FOLDERS = (
    "prepared",
    "containerd",
    "cni",
    "kubelet",
    "lib/kubelet",
    "lib/cni",
    "log/pods",
    "registries/_default",
    "plugins",
)


@dataclass(frozen=True)
class Taint:
    """A taint of a node, in Kubernetes' terms."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class NodeSettings:
    """What the cluster sees of a node.

    :param name: of the Node object.
    :param labels: beyond those that every kubelet sets.
    :param cpus: number of processors that the scheduler counts with; the machine may have fewer.
    :param memory_mib: memory that the scheduler counts with.
    :param extended_resources: such as ``nvidia.com/gpu``, without a device behind them.
    :param provider_id: of the machine, such as ``aws:///us-east-1a/i-0123``, by which an autoscaler knows its node.
        Default: none.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Taint] = ()
    cpus: int = 4
    memory_mib: int = 16384
    extended_resources: Mapping[str, int] = field(default_factory=dict)
    provider_id: str = ""


@dataclass(frozen=True)
class Node:
    """One node of a sandbox.

    :param folder: state folder of the sandbox.
    :param number: from 1; decides the addresses.
    :param cgroup: control group of the node, which exists.
    """

    folder: Path
    number: int
    settings: NodeSettings
    programs: NodePrograms
    authority: CertificateAuthority
    cgroup: str

    @property
    def state(self) -> Path:
        """Folder of the node."""
        return self.folder / f"node-{self.number}"

    @property
    def address(self) -> str:
        """Address of the node within the sandbox."""
        return network.node_address(self.number)

    def command(self, python: str) -> list[str]:
        """The command that runs the node in its own namespaces within those of the sandbox."""
        init = Path(__file__).with_name("init.py")
        return [
            *("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL"),
            *("--mount-proc", "--propagation", "slave", python, "-S", str(init), str(self.state / "init.json")),
        ]

    def write(self) -> None:
        """Write certificates, configuration and the plan of the node's first process."""
        for folder in _FOLDERS:
            (self.state / folder).mkdir(parents=True)
        serving = self.authority.issue(f"system:node:{self.settings.name}", "system:nodes", hosts=(self.address,))
        user = f"system:node:{self.settings.name}"
        for name, content in {
            "ca.pem": self.authority.pem.encode(),
            "serving.pem": serving.certificate,
            "serving.key": serving.key,
            "kubelet.json": client_configuration(self.authority, user, "system:nodes"),
            "kube-proxy.json": client_configuration(self.authority, "system:kube-proxy"),
            "kube-router.json": client_configuration(self.authority, "kube-router", "system:masters"),
            "kubelet-config.json": json.dumps(self._kubelet()).encode(),
            "kube-proxy-config.json": json.dumps(self._proxy()).encode(),
            "containerd.toml": self._containerd().encode(),
            _PREPARED_POD_NETWORK: json.dumps(self._pod_network()).encode(),
            "registries/_default/hosts.toml": _registry().encode(),
            "resolv.conf": b"",
            "cpuinfo": b"".join(
                b"processor\t: %d\ncpu MHz\t\t: 2500.000\n\n" % number for number in range(self.settings.cpus)
            ),
            "meminfo": _memory(self.settings.memory_mib).encode(),
            "init.json": json.dumps(self._plan()).encode(),
        }.items():
            write_private(self.state / name, content)
        for name in ("cpuinfo", "meminfo"):
            (self.state / name).chmod(0o444)  # as the kernel's own, which they are mounted over

    def _plan(self) -> dict[str, Any]:
        state, binaries = self.state, self.programs.binaries
        servers: dict[str, tuple[list[str], str | None]] = {
            "containerd": (
                [f"{self.programs.debian}/usr/bin/containerd", "--config", f"{state}/containerd.toml"],
                None,
            ),
            "kubelet": (
                [
                    f"{binaries}/kubelet",
                    f"--config={state}/kubelet-config.json",
                    f"--kubeconfig={state}/kubelet.json",
                    f"--hostname-override={self.settings.name}",
                    f"--node-ip={self.address}",
                    f"--node-labels={','.join(f'{name}={value}' for name, value in self.settings.labels.items())}",
                ],
                RUNTIME_SOCKET,
            ),
            "kube-proxy": ([f"{binaries}/kube-proxy", f"--config={state}/kube-proxy-config.json"], None),
            "pod-network": (["sh", "-euc", self._pod_network_when_services_answer()], None),
            "kube-router": (
                [
                    f"{binaries}/kube-router",
                    "--run-firewall=true",
                    "--run-router=false",
                    "--run-service-proxy=false",
                    f"--kubeconfig={state}/kube-router.json",
                    f"--hostname-override={self.settings.name}",
                    f"--service-cluster-ip-range={network.SERVICES}",
                ],
                str(state / "lib/kubelet/pods"),  # it ends where its node is unknown, and the kubelet announces that
            ),
        }
        return {
            "setup": self._setup(),
            "environment": environment(self.programs),
            "log": str(state / "node.log"),
            "started": str(state / "started"),
            "servers": [
                {"command": command, "log": str(state / f"{name}.log"), "after": after}
                for name, (command, after) in servers.items()
            ],
        }

    def _setup(self) -> str:
        state = self.state
        return f"""
hostname {self.settings.name}
{network.node_setup(self.number)}
mount -t tmpfs tmpfs /run
mount --bind {state}/lib /var/lib
mount --bind {state}/log /var/log
mount --bind {state}/cpuinfo /proc/cpuinfo
mount --bind {state}/meminfo /proc/meminfo
mount -t tmpfs tmpfs /sys/devices/system/node
core=0
for processor in {" ".join(_processors(self.settings.cpus, os.cpu_count() or 1))}; do
  topology=/sys/devices/system/node/node0/$processor/topology
  mkdir -p $topology
  echo $core > $topology/core_id
  echo 0 > $topology/physical_package_id
  core=$((core + 1))
done
"""

    def _kubelet(self) -> dict[str, Any]:
        state = self.state
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "containerRuntimeEndpoint": f"unix://{RUNTIME_SOCKET}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{state}/ca.pem"},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [network.DNS_SERVICE],
            "clusterDomain": "cluster.local",
            "failSwapOn": False,
            "evictionHard": {"memory.available": "100Mi"},  # the disk is the machine's, and not the nodes' business
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "enforceNodeAllocatable": [],
            "address": self.address,
            "healthzBindAddress": self.address,
            "tlsCertFile": f"{state}/serving.pem",
            "tlsPrivateKeyFile": f"{state}/serving.key",
            "resolvConf": f"{state}/resolv.conf",
            "volumePluginDir": f"{state}/plugins",
            "registerWithTaints": [
                {"key": taint.key, "value": taint.value, "effect": taint.effect} for taint in self.settings.taints
            ],
            "serializeImagePulls": False,
            "syncFrequency": "10s",
            "nodeStatusUpdateFrequency": "5s",
            "runtimeRequestTimeout": "15m",  # its own two minutes are too short while many containers start
            "maxPods": 110,
            **({"providerID": self.settings.provider_id} if self.settings.provider_id else {}),
        }

    def _proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": f"{self.state}/kube-proxy.json"},
            "mode": "iptables",
            "clusterCIDR": network.PODS,
            "hostnameOverride": self.settings.name,
            "healthzBindAddress": f"{self.address}:10256",
            "metricsBindAddress": f"{self.address}:10249",
            # Connection tracking belongs to the machine: do not change it.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def _pod_network_when_services_answer(self) -> str:
        """Give the node its network of pods, without which it is not ready, once kube-proxy leads to the API.

        Otherwise the first pods cannot reach it. The VPC CNI, too, installs its configuration when its daemon answers,
        which reads from the API first: https://github.com/aws/amazon-vpc-cni-k8s/blob/master/cmd/aws-vpc-cni/main.go
        The file is copied, because containerd reads its configuration again after a write, not after a link.
        """
        return f"""
until iptables-save -t nat | grep -q -e '-A KUBE-SERVICES -d {network.API_SERVICE}/32'; do sleep 0.1; done
cp {self.state}/{_PREPARED_POD_NETWORK} {self.state}/cni/
exec sleep infinity
"""

    def _pod_network(self) -> dict[str, Any]:
        """A link from each pod to the node, as with the VPC CNI: pods of one node meet in its packet filter."""
        return {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "mtu": 1500,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": network.pod_range(self.number)}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }

    def _containerd(self) -> str:
        state, debian = self.state, self.programs.debian
        return f"""version = 2
root = "{state}/containerd/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{RUNTIME_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{debian}/usr/lib/cni"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{state}/registries"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{debian}/usr/sbin/runc"
        SystemdCgroup = false
"""


def _registry() -> str:
    """Configure the registry of the sandbox as the mirror of all registries."""
    url = f"http://{network.CONTROL_PLANE}:{network.REGISTRY_PORT}"
    return f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'


def _processors(count: int, real: int) -> list[str]:
    """Folders of as many processors as a node shall have, which may be more than this machine has.

    The kubelet counts folders, and sets control groups to the numbers in their names, which must be real: 0, 1, 00, 01.
    """
    return [f"cpu{'0' * (number // real)}{number % real}" for number in range(count)]


def _memory(mib: int) -> str:
    kib = mib * 1024
    return f"MemTotal: {kib} kB\nMemFree: {kib} kB\nMemAvailable: {kib} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
