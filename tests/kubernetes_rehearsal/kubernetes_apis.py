"""Kubernetes APIs under test: the stand-in always, kube-apiserver where it is built."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_rehearsal.binaries import find
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.clients import clients
from kubernetes_rehearsal.interface import ClusterAccess, Identity, KubernetesApi
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.objects import collection_of
from kubernetes_rehearsal.standin import StandIn

MINOR = "1.35"
FOLDER = Path(__file__).parent
BUILT = [binaries for binaries in find({}) if binaries.minor == MINOR]
needs_kube_apiserver = pytest.mark.skipif(not BUILT, reason="kube-apiserver is not built; run make kube-apiserver")
APIS = ["stand-in", pytest.param("kube-apiserver", marks=needs_kube_apiserver)]
IDENTITIES = {"administrator": Identity("grace", ("system:masters",)), "reader": Identity("ada", ("readers",))}


def new_api(name: str) -> KubernetesApi:
    """The API of a name, not started."""
    return StandIn() if name == "stand-in" else KubeApiServer(BUILT)


@contextmanager
def cluster(name: str) -> Iterator[ClusterAccess]:
    """A cluster of the API of a name, known to ``IDENTITIES``."""
    api = new_api(name)
    api.start(IDENTITIES.get)
    try:
        yield api.create_cluster("test", MINOR)
    finally:
        api.stop()


def client(access: ClusterAccess, token: str = "administrator") -> ApiClient:
    """A client for a cluster."""
    return ApiClient(access, token)


def accepted() -> list[dict[str, Any]]:
    """The objects that every API accepts, in their order."""
    return list(yaml.safe_load_all((FOLDER / "kubernetes_accepted.yaml").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Said:
    """What a program printed, in one line, and how it ended."""

    status: int
    text: str


class Programs:
    """kubectl and helm, talking to one cluster.

    :param folder: for their configuration and caches.
    """

    def __init__(self, access: ClusterAccess, folder: Path, token: str = "administrator") -> None:
        self._programs = clients()
        self._kubeconfig = folder / f"{token}.json"
        self._environment = {"HOME": str(folder), "KUBECACHEDIR": str(folder / "cache")}
        content = kubeconfig(access.endpoint, access.certificate_authority, {"token": token})
        self._kubeconfig.write_text(json.dumps(content), encoding="utf-8")

    def kubectl(self, *arguments: str, given: list[Any] | None = None) -> Said:
        """Run kubectl; ``given`` objects come by standard input."""
        files = [] if given is None else ["--filename=-"]
        return self._run(self._programs.kubectl, [*arguments, *files], given)

    def helm(self, *arguments: str) -> Said:
        """Run helm."""
        return self._run(self._programs.helm, list(arguments), None)

    def _run(self, program: Path, arguments: list[str], given: list[Any] | None) -> Said:
        done = subprocess.run(
            [program, f"--kubeconfig={self._kubeconfig}", *arguments],
            input="\n---\n".join(json.dumps(one) for one in given or []),
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=120,
        )
        return Said(done.returncode, " ".join((done.stdout + done.stderr).split()))


def offer(api: ApiClient, found: dict[str, Any]) -> Any:
    """The kind of an object that the API accepts, checked as strictly as by ``kubectl``, without storing it."""
    return api.request("POST", f"{collection_of(api, found)}?dryRun=All&fieldValidation=Strict", found)["kind"]
