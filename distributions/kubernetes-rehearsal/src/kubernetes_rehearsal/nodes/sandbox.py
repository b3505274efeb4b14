"""A cluster in a sandbox, as the process that starts it sees it."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.certificates import LOOPBACK, CertificateAuthority
from kubernetes_rehearsal.interface import ClusterAccess, KubernetesError
from kubernetes_rehearsal.nodes import cgroups, network, relays
from kubernetes_rehearsal.nodes.control_plane import API_AUDIENCE, ControlPlane
from kubernetes_rehearsal.nodes.leftovers import hold_name
from kubernetes_rehearsal.nodes.node import Node, NodeSettings
from kubernetes_rehearsal.programs import NodePrograms

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_START_SECONDS = 300
_STOP_SECONDS = 300
_LOG_LINES = 5


class Sandbox:
    """One cluster with its namespaces, processes and files. It ends with ``stop`` or with this process.

    :param programs: of the control plane and of nodes.
    :param token_review: kubeconfig of the webhook that knows bearer tokens, as the sandbox reaches it.
    :param services: port within the sandbox, on the control plane's address, to a port of this machine's loopback.
    :param parent: folder for its state. Default: the folder for temporary files.
    """

    def __init__(
        self,
        programs: NodePrograms,
        *,
        token_review: Mapping[str, Any],
        services: Mapping[int, int],
        service_account_issuer: str = API_AUDIENCE,
        parent: Path | None = None,
    ) -> None:
        self._programs = NodePrograms(programs.binaries.resolve(), programs.debian.resolve())
        name = f"{cgroups.PREFIX}{secrets.token_hex(6)}"
        self._name = hold_name(name)
        self._folder = (parent or Path(tempfile.gettempdir())).resolve() / name
        self._folder.mkdir(mode=0o700)
        self._cgroup = self._folder.name
        self._authority = CertificateAuthority(self._folder.name)
        self._nodes: dict[str, Node] = {}
        self._node_processes: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers = iter(range(1, network.MOST_NODES))
        plane = ControlPlane(self._folder, self._programs, self._authority, service_account_issuer, dict(token_review))
        plane.write()
        with self._name:  # from now on the supervisor has it
            self._supervisor = self._start(services)
        self._first = self._first_process()
        self._wait_for(plane.started, self._folder / "sandbox.log")

    @property
    def folder(self) -> Path:
        """State folder, with a log of each server. It is removed when the sandbox ends."""
        return self._folder

    @property
    def access(self) -> ClusterAccess:
        """The API, through a relay on loopback."""
        return ClusterAccess(f"https://{LOOPBACK}:{self._port}", self._authority.pem)

    @property
    def authority(self) -> CertificateAuthority:
        """The authority of the cluster."""
        return self._authority

    def add_node(self, settings: NodeSettings) -> None:
        """Start a node; it becomes ready later.

        :raises KubernetesError: if there is a node of that name.
        """
        if settings.name in self._nodes:
            raise KubernetesError(f"node {settings.name}: exists; remove it first")
        number = next(self._numbers)
        cgroup = f"{self._cgroup}/node-{number}"
        node = Node(self._folder, number, settings, self._programs, self._authority, cgroup)
        node.write()
        cgroups.create(cgroup)
        self._nodes[settings.name] = node
        with (node.state / "node.log").open("ab") as log:
            self._node_processes[settings.name] = subprocess.Popen(
                [*self._enter(), *node.command(sys.executable)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,
            )

    def remove_node(self, name: str) -> None:
        """Kill a node like a machine that is switched off. A missing node is ignored."""
        if name not in self._nodes:
            return
        with contextlib.suppress(OSError, IndexError):  # it has already ended
            os.kill(self._node_first(name), signal.SIGKILL)
        self._node_processes.pop(name).wait(_STOP_SECONDS)
        cgroups.remove(self._nodes.pop(name).cgroup)

    def run(self, command: Sequence[str], *, node: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a program of this machine within the sandbox, next to the control plane or on a node."""
        return subprocess.run(
            [*self._enter(node), *command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    def connects(self, namespace: int, address: str, port: int, *, seconds: float = 2) -> bool:
        """Whether a TCP connection is made from within a network namespace.

        :param namespace: descriptor that :meth:`network_of` opened.
        """
        try:
            relays.in_network(namespace, lambda: socket.create_connection((address, port), seconds)).close()
        except OSError:
            return False
        return True

    def network_of(self, pod: str | None = None, *, node: str | None = None) -> int:
        """The network namespace of a pod by its uid, of a node by its name, or of the control plane; close it.

        :raises KubernetesError: if the pod has no process.
        """
        process = self._node_first(node) if node else self._first
        if pod:
            process = self.process_of(pod)
        return os.open(f"/proc/{process}/ns/net", os.O_RDONLY)

    def process_of(self, uid: str, container: str = "") -> int:
        """A process of a pod, by its id on this machine.

        :param container: id of one of its containers. Default: any, which may be the one that holds its network.
        :raises KubernetesError: if the pod has none.
        """
        for groups in Path("/proc").glob("[0-9]*/cgroup"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                text = groups.read_text(encoding="ascii")
                if self._cgroup in text and f"pod{uid}" in text and container in text:
                    return int(groups.parent.name)
        raise KubernetesError(f"pod {uid}: has no process here")

    def memory(self) -> dict[str, int]:
        """Resident memory of each program of the control plane, in bytes."""
        own = os.readlink(f"/proc/{self._first}/ns/pid")
        found: dict[str, int] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile, or is of the kernel
                if os.readlink(process / "ns/pid") == own and process.name != str(self._first):
                    pages = int((process / "statm").read_text(encoding="ascii").split()[1])
                    name = Path(os.readlink(process / "exe")).name
                    if (self._programs.binaries / name).exists():  # not the launchers of nodes
                        found[name] = found.get(name, 0) + pages * os.sysconf("SC_PAGE_SIZE")
        return found

    def resident(self) -> int:
        """Resident memory of all its processes in bytes: control plane, nodes and pods."""
        first = [self._first, *map(self._node_first, self._nodes)]
        spaces = {os.readlink(f"/proc/{process}/ns/pid") for process in first}
        pages = 0
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended meanwhile, or is of the kernel
                groups = (process / "cgroup").read_text(encoding="ascii")
                if self._cgroup in groups or os.readlink(process / "ns/pid") in spaces:
                    pages += int((process / "statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def check(self) -> None:
        """:raises KubernetesError: with the end of its log, if the sandbox has ended unexpectedly."""
        if self._supervisor.poll() is not None or not Path(f"/proc/{self._first}").exists():
            raise KubernetesError(f"sandbox: ended unexpectedly: {self.log('sandbox')}")
        for name, process in self._node_processes.items():
            if process.poll() is not None:
                last = _last_lines(self._nodes[name].state / "node.log")
                raise KubernetesError(f"node {name}: ended with status {process.returncode}: {last}")

    def log(self, server: str) -> str:
        """Last lines of a server's log."""
        return _last_lines(self._folder / f"{server}.log")

    def node_log(self, name: str) -> str:
        """Last lines of the container runtime's and the kubelet's logs of a node."""
        if name not in self._nodes:
            return "no log"
        state = self._nodes[name].state
        return "; ".join(f"{server}: {_last_lines(state / f'{server}.log')}" for server in ("containerd", "kubelet"))

    def stop(self) -> None:
        """Kill everything in the sandbox, and remove its remains. Idempotent."""
        assert self._supervisor.stdin
        self._supervisor.stdin.close()
        try:
            self._supervisor.wait(_STOP_SECONDS)
        finally:
            self._supervisor.kill()
            self._supervisor.wait()
            for process in self._node_processes.values():
                process.wait()

    def _start(self, services: Mapping[int, int]) -> "subprocess.Popen[bytes]":
        with socket.create_server((LOOPBACK, 0), backlog=128) as listener:
            self._port: int = listener.getsockname()[1]
            plan = {
                "cgroup": self._cgroup,
                "into": [
                    {"descriptor": listener.fileno(), "address": [network.CONTROL_PLANE, network.API_PORT]},
                ],
                "out": [{"port": port, "address": [LOOPBACK, target]} for port, target in services.items()],
            }
            (self._folder / "sandbox.json").write_text(json.dumps(plan), encoding="utf-8")
            with (self._folder / "sandbox.log").open("ab") as log:
                return subprocess.Popen(
                    [sys.executable, "-S", str(_SUPERVISOR), str(self._folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    pass_fds=[listener.fileno(), self._name.fileno()],
                    env={"PATH": os.environ.get("PATH", os.defpath)},  # no credentials and no proxies of the user
                    start_new_session=True,  # an interrupt from the keyboard is for this process alone
                )

    def _first_process(self) -> int:
        assert self._supervisor.stdout
        said = self._supervisor.stdout.readline().strip()
        if not said.isdigit():
            last = self.log("sandbox") if self._folder.exists() else "no log"
            self.stop()
            raise KubernetesError(f"sandbox: did not start: {last}")
        return int(said)

    def _wait_for(self, file: Path, log: Path) -> None:
        until = time.monotonic() + _START_SECONDS
        while not file.exists():
            if time.monotonic() > until or not Path(f"/proc/{self._first}").exists():
                last = _last_lines(log)
                self.stop()
                raise KubernetesError(f"sandbox: {file.name}: does not exist: {last}")
            time.sleep(0.02)

    def _enter(self, node: str | None = None) -> list[str]:
        """What runs a program in the sandbox's namespaces, or in those of a node."""
        target = str(self._first)
        command = ["nsenter", "--target", target, "--mount", "--net", "--pid", "--uts", "--ipc"]
        if node:
            inner = self._node_first(node)
            command = ["nsenter", "--target", str(inner), "--mount", "--net", "--pid", "--uts", "--ipc"]
        return command

    def _node_first(self, name: str) -> int:
        """Process id, on this machine, of a node's first process."""
        pid = self._node_processes[name].pid  # nsenter, which has a child: unshare, which has a child: the process
        for _ in range(2):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])
        return pid


def _last_lines(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except FileNotFoundError:
        return "no log"
    return " | ".join(lines)
