"""Helm charts of other projects, out of the Go modules that their programs are built from."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes_rehearsal.clients import clients
from kubernetes_rehearsal.interface import ClusterAccess
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.programs.golang import go, module_file
from kubernetes_rehearsal.programs.table import HERE

_TIMEOUT = "300s"


@dataclass(frozen=True)
class ChartSource:
    """A Go module with charts.

    :param lock: of the table of programs.
    """

    lock: str
    module: str

    def chart(self, path: str) -> Path:
        """Folder of a chart."""
        folder = HERE / "modules" / self.lock
        go(["mod", "download", self.module], folder)
        return module_file(folder, self.module, path)


class Helm:
    """helm and kubectl for one cluster.

    :param folder: for their files.
    """

    def __init__(self, access: ClusterAccess, token: str, folder: Path) -> None:
        self._folder = folder
        self._kubeconfig = folder / "kubeconfig.json"
        content = kubeconfig(access.endpoint, access.certificate_authority, {"token": token})
        self._kubeconfig.write_text(json.dumps(content), encoding="utf-8")

    def install(self, release: str, chart: Path, *, namespace: str, values: Sequence[Mapping[str, Any]] = ()) -> None:
        """Install a chart, and wait until its workloads are ready.

        :param values: the later ones count.
        """
        files = []
        for number, content in enumerate(values):
            files.append(self._folder / f"{release}-{number}.json")
            files[-1].write_text(json.dumps(content), encoding="utf-8")
        arguments = ["install", release, str(chart), f"--namespace={namespace}", "--wait", f"--timeout={_TIMEOUT}"]
        done = self._run(clients().helm, *arguments, *(f"--values={file}" for file in files))
        assert done.returncode == 0, done.stderr

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints; empty where it fails."""
        done = self._run(clients().kubectl, *arguments)
        return done.stdout if done.returncode == 0 else ""

    def _run(self, program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [program, f"--kubeconfig={self._kubeconfig}", *arguments]
        return subprocess.run(command, env={"HOME": str(self._folder)}, capture_output=True, text=True)
