"""The real programs behind container images and nodes: built here, from what package registries serve, and cached.

``python -m kubernetes_rehearsal.programs`` builds. What this module offers only finds what was built.
"""

import json
import os
import tarfile
from dataclasses import dataclass
from functools import cache as remember
from pathlib import Path

from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.store import CACHE, Store
from kubernetes_rehearsal.programs.table import Table, image_name, read_table

NODE_PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "kube-router",
    "pause",
)
OWN_IMAGES = "REHEARSAL_IMAGES"
"""Environment variable with a folder of docker-archives (``*.tar``) of your own images, which nodes can run, too."""
_NODE_PACKAGES = "debian/node"
_ADD_ON = "EKS add-on "


@dataclass(frozen=True)
class NodePrograms:
    """What a cluster with a real node runs.

    :param binaries: folder with the programs, each by its name.
    :param debian: folder that the packages of containerd, runc, network plugins and iptables were extracted into.
    """

    binaries: Path
    debian: Path


@dataclass(frozen=True)
class Image:
    """A container image that can run here.

    :param name: as deployed, without a digest: ``registry/repository:tag``.
    :param archive: docker-archive, for ``ctr --namespace k8s.io images import``.
    """

    name: str
    archive: Path


def node_programs(cache: Path = CACHE) -> NodePrograms | None:
    """The programs of a real node, or None if one is missing; :func:`missing_programs` names which."""
    if missing_programs(cache):
        return None
    return NodePrograms(cache / "bin", Store(table(), cache).path(_NODE_PACKAGES))


def missing_programs(cache: Path = CACHE) -> list[str]:
    """The parts of a real node that are not built, or not from today's locks; ``make programs`` builds them."""
    store = Store(table(), cache)
    return [part for part in (_NODE_PACKAGES, *(f"go/{name}" for name in NODE_PROGRAMS)) if not store.facts(part)]


def kubernetes_minor() -> str:
    """The Kubernetes minor of nodes and their control plane, such as ``1.35``."""
    version = table().go["kubelet"].module.rpartition("@v")[2]
    return version.rpartition(".")[0]


def program(name: str, cache: Path = CACHE) -> Path | None:
    """A program that is not part of an image, such as ``promtool``; None where it is not built from today's lock.

    :param name: of its row in the table, without ``go/``.
    """
    store = Store(table(), cache)
    return cache / "bin" / name if store.facts(f"go/{name}") else None


def images(cache: Path = CACHE) -> list[Image]:
    """Every image that is built, and your own images."""
    store = Store(table(), cache)
    built = [Image(name, store.path(name)) for name in store.table.images if store.facts(name)]
    return [*built, *own_images()]


def own_images() -> list[Image]:
    """The images in the folder that :data:`OWN_IMAGES` names.

    :raises KubernetesError: for a folder that does not exist, or a file that is not a docker-archive.
    """
    if not (given := os.environ.get(OWN_IMAGES)):
        return []
    if not Path(given).is_dir():
        raise KubernetesError(f"{OWN_IMAGES}: {given} is not a folder; create it, or remove the variable")
    return [Image(image_name(name), file) for file in sorted(Path(given).glob("*.tar")) for name in _names(file)]


def _names(archive: Path) -> list[str]:
    try:
        with tarfile.open(archive, "r:") as files:
            content = files.extractfile("manifest.json")
            return [str(name) for each in json.load(content) for name in each["RepoTags"]] if content else []
    except (KeyError, TypeError, ValueError, tarfile.TarError):
        raise KubernetesError(f"{OWN_IMAGES}: {archive} is not a docker-archive; write it with `docker save`") from None


def why_missing(image: str, cache: Path = CACHE) -> str:
    """Why an image cannot run here, in one line; empty for one that is built.

    :param image: as deployed, with or without a digest.
    """
    if image_name(image) in {own.name for own in own_images()}:
        return ""
    reason = table().why_unavailable(image)
    if reason or Store(table(), cache).facts(image_name(image)):
        return reason
    return f"not built; run `python -m kubernetes_rehearsal.programs {image_name(image)}`"


def why_stored_only(missing: str, cache: Path = CACHE) -> str:
    """The reasons why the programs of a workload do not run, one for each missing part.

    :param missing: images, drivers of volumes, or an add-on as ``EKS add-on NAME``, separated by commas.
    """
    return "; ".join(f"{one}: {_why_unusable(one, cache)}" for one in missing.split(","))


def _why_unusable(missing: str, cache: Path) -> str:
    if missing.startswith(_ADD_ON):
        return table().unavailable_add_ons.get(missing.removeprefix(_ADD_ON), "its programs are not built")
    if ":" not in missing:
        return "no driver of this name runs"
    return why_missing(missing, cache) or "it is built, but a stand-in took the place of its chart"


@remember
def table() -> Table:
    """The table of programs."""
    return read_table()
