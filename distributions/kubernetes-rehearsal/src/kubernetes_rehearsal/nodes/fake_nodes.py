"""Nodes without a machine: KWOK reports them ready and their pods running. Everything else in the cluster is real.

They show what the scheduler and the controllers do with many nodes. No container runs on them.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ClusterAccess, KubernetesError
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.nodes.node import Taint

_ANNOTATION = "kwok.x-k8s.io/node"
_LEASE_SECONDS = 40
_STOP_SECONDS = 10
_POD_RANGE = "10.96.0.0/12"
_NODE_ADDRESS = "10.95.0.1"

Object = dict[str, Any]


class FakeNodes:
    """KWOK, for as long as the ``with`` block.

    :param program: the built ``kwok``.
    :param access: the API of the cluster.
    :param token: of a cluster administrator.
    """

    def __init__(self, program: Path, access: ClusterAccess, token: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rehearsal-kwok-")
        folder = Path(self._folder.name)
        settings = folder / "kubeconfig"
        content = kubeconfig(access.endpoint, access.certificate_authority, {"token": token})
        settings.write_text(json.dumps(content), encoding="utf-8")
        stages = folder / "stages.yaml"
        stages.write_text("\n---\n".join(json.dumps(stage) for stage in _stages()), encoding="utf-8")
        self._log = folder / "kwok.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(program),
                    f"--kubeconfig={settings}",
                    f"--config={stages}",
                    f"--manage-nodes-with-annotation-selector={_ANNOTATION}=fake",
                    f"--node-lease-duration-seconds={_LEASE_SECONDS}",
                    f"--node-ip={_NODE_ADDRESS}",
                    f"--cidr={_POD_RANGE}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"HOME": self._folder.name},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def check(self) -> None:
        """:raises KubernetesError: with the last line of its log, where KWOK has ended by itself."""
        if self._process.poll() is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise KubernetesError(f"kwok: ended with status {self._process.returncode}: {''.join(lines[-1:])}")


def add_fake_node(
    api: ApiClient,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Taint] = (),
    resources: Mapping[str, str] | None = None,
) -> None:
    """Create a node that KWOK looks after.

    :param resources: capacity by name. Default: 4 processors, 16 GiB of memory, 110 pods.
    """
    has = {"cpu": "4", "memory": "16Gi", "pods": "110", **(resources or {})}
    node = {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})},
            "annotations": {_ANNOTATION: "fake"},
        },
        "spec": {"taints": [{"key": one.key, "value": one.value, "effect": one.effect} for one in taints]},
        "status": {"capacity": has, "allocatable": has},
    }
    api.request("POST", "/api/v1/nodes", node)


def _stages() -> list[Object]:
    """What KWOK does: a node becomes ready, a pod runs, a pod that is deleted goes at once."""
    now = "{{ Now | Quote }}"
    ready = f"""
conditions:
- type: Ready
  status: "True"
  reason: KubeletReady
  message: a node without a machine
  lastHeartbeatTime: {now}
  lastTransitionTime: {now}
"""
    conditions = "".join(
        f'- {{type: {name}, status: "True", lastTransitionTime: {now}}}\n'
        for name in ("Initialized", "ContainersReady", "Ready")
    )
    running = f"""
phase: Running
startTime: {now}
hostIP: {{{{ NodeIPWith .spec.nodeName | Quote }}}}
podIP: {{{{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}}}
conditions:
{conditions}containerStatuses:
{{{{ range .spec.containers }}}}
- name: {{{{ .name | Quote }}}}
  image: {{{{ .image | Quote }}}}
  imageID: ""
  ready: true
  restartCount: 0
  state: {{running: {{startedAt: {now}}}}}
{{{{ end }}}}
"""
    is_ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    return [
        _stage("node-ready", "Node", [_expression(is_ready, "NotIn", "True")], {"statusTemplate": ready}),
        _stage(
            "pod-running",
            "Pod",
            [_expression(".metadata.deletionTimestamp", "DoesNotExist"), _expression(".status.podIP", "DoesNotExist")],
            {"statusTemplate": running},
        ),
        _stage(
            "pod-gone",
            "Pod",
            [_expression(".metadata.deletionTimestamp", "Exists")],
            {"finalizers": {"empty": True}, "delete": True},
        ),
    ]


def _stage(name: str, kind: str, expressions: list[Object], then: Object) -> Object:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": expressions},
            "next": then,
        },
    }


def _expression(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
