"""Where the servers of a real Kubernetes API are found: in a folder that the user names, or in the project's cache."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubernetes_rehearsal.interface import KubernetesError

CACHE = Path(".cache", "kubernetes").absolute()
RELEASES = Path(__file__).parent / "releases"
ASSETS = "KUBEBUILDER_ASSETS"
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager")
_NEEDED = ("etcd", "kube-apiserver")  # what controller-runtime's own test assets hold


@dataclass(frozen=True)
class Release:
    """A Kubernetes patch release that can be built here.

    :param version: such as ``1.35.4``.
    :param go: the oldest Go that builds it, such as ``1.25.0``.
    :param lock: folder with its ``go.mod`` and ``go.sum``.
    """

    version: str
    go: str
    lock: Path


@dataclass(frozen=True)
class Binaries:
    """Servers of one Kubernetes version in one folder.

    :param version: of kube-apiserver, such as ``1.35.4``.
    """

    folder: Path
    version: str

    @property
    def minor(self) -> str:
        """Such as ``1.35``."""
        return self.version.rpartition(".")[0]

    @property
    def has_controllers(self) -> bool:
        """Whether kube-controller-manager is available too; test assets of other projects omit it."""
        return (self.folder / "kube-controller-manager").exists()


def minors(releases: Path = RELEASES) -> list[str]:
    """The Kubernetes minors that can be built, oldest first."""
    return sorted((lock.parent.name for lock in releases.glob("*/go.mod")), key=lambda minor: int(minor.split(".")[1]))


def locked_release(minor: str, releases: Path = RELEASES) -> Release:
    """The patch release that is locked for a minor.

    :raises KubernetesError: if there is none.
    """
    if minor not in minors(releases):
        raise KubernetesError(f"Kubernetes {minor}: no locked build; there are {', '.join(minors(releases))}")
    folder = releases / minor
    module = (folder / "go.mod").read_text(encoding="utf-8")
    version = re.search(r"k8s\.io/kubernetes v(\S+)", module)
    go = re.search(r"^go (\S+)", module, re.MULTILINE)
    assert version
    assert go
    return Release(version[1], go[1], folder)


def find(environment: Mapping[str, str] | None = None, cache: Path = CACHE) -> list[Binaries]:
    """Every usable set of servers, the preferred first: the folder that the user names, or else what was built.

    :param environment: Default: that of the process.
    :raises KubernetesError: if the named folder is unusable.
    """
    named = (os.environ if environment is None else environment).get(ASSETS)
    if named:
        folder = Path(named)
        missing = [server for server in _NEEDED if not (folder / server).exists()]
        if missing:
            raise KubernetesError(
                f"{ASSETS}: {folder} has no {' and no '.join(missing)}; name a folder that has, or unset it"
            )
        return [Binaries(folder, version(folder))]
    built = [folder for folder in cache.glob("*.*.*") if _is_complete(folder)]
    found = [Binaries(folder, folder.name) for folder in sorted(built, reverse=True)]
    programs = cache.with_name("programs") / "bin"  # what `make programs` builds has the same servers
    if _is_complete(programs):
        others = {binaries.version for binaries in found}
        found += [Binaries(programs, served) for served in [version(programs)] if served not in others]
    return found


def _is_complete(folder: Path) -> bool:
    return all((folder / server).exists() for server in SERVERS)


def version(folder: Path) -> str:
    """Version of the kube-apiserver in a folder, such as ``1.35.4``.

    :raises KubernetesError: if it does not run here.
    """
    said = subprocess.run([folder / "kube-apiserver", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d+\.\d+\.\d+)", said)
    if not found:
        raise KubernetesError(f"{folder}/kube-apiserver --version says {said!r}; it does not run here")
    return found[1]
