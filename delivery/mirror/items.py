"""What is mirrored: images as they are, Helm charts as OCI artifacts, each known by one digest.

The digest of an image is that of its index, with all its platforms. The digest of a chart is that of its archive, the
same number that a chart repository's index and the layer of a chart in a registry give.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from charts.helm_charts import HelmChart
from charts.images import Image
from delivery.mirror.chart_layout import archive_digest, write_layout
from delivery.mirror.chart_repository import ChartRepository
from delivery.mirror.crane import Crane
from delivery.mirror.errors import MirrorError


class Item(Protocol):
    """One entry of a list.

    - ``listed_in``: file name of the list; ``name`` is the key in it, ``tag`` the version.
    - ``recorded``: digest in the list, if any.
    - ``path``: repository below a mirror.
    """

    listed_in: str
    name: str
    tag: str
    path: str
    recorded: str | None

    def upstream(self) -> str | None:
        """Digest where it comes from, or None where it is not."""

    def mirrored(self, registry: str) -> str | None:
        """Digest in a mirror, or None where it is not."""

    def copy(self, registry: str, digest: str) -> None:
        """Bring what has this digest from where it comes from into a mirror.

        :raises MirrorError: where it cannot be had or stored.
        """

    def missing_parts(self, registry: str) -> list[str]:
        """Digests of what it refers to in a mirror and is not there."""


class MirroredImage:
    """An image of ``charts/images.toml``."""

    listed_in = "images.toml"

    def __init__(self, image: Image, *, crane: Crane) -> None:
        self.name, self.tag, self.path, self.recorded = image.name, image.tag, image.image, image.digest
        self._image, self._crane = image.image, crane

    def upstream(self) -> str | None:
        return self._crane.digest(f"{self._image}:{self.tag}")

    def mirrored(self, registry: str) -> str | None:
        return self._crane.digest(f"{registry}/{self.path}:{self.tag}")

    def copy(self, registry: str, digest: str) -> None:
        self._crane.copy(f"{self._image}@{digest}", f"{registry}/{self.path}:{self.tag}")

    def missing_parts(self, registry: str) -> list[str]:
        manifest = self._crane.manifest(f"{registry}/{self.path}:{self.tag}") or {}
        parts = [part["digest"] for part in manifest.get("manifests", [])]
        return [part for part in parts if self._crane.digest(f"{registry}/{self.path}@{part}") != part]


class MirroredChart:
    """A chart of ``charts/helm_charts.toml``, from a chart repository or, with ``oci://``, from a registry."""

    listed_in = "helm_charts.toml"

    def __init__(self, chart: HelmChart, *, crane: Crane, repository: ChartRepository | None = None) -> None:
        self.name, self.tag, self.path = chart.name, chart.version, f"charts/{chart.name}"
        self.recorded = chart.digest
        self._crane = crane
        self._source = chart.repository.removeprefix("oci://") if chart.repository.startswith("oci://") else None
        self._repository = repository or ChartRepository(chart.repository)

    def upstream(self) -> str | None:
        if self._source:
            return archive_digest(self._crane.manifest(f"{self._source}:{self.tag}"))
        listed = self._repository.find(self.name, self.tag)
        return listed.digest if listed else None

    def mirrored(self, registry: str) -> str | None:
        return archive_digest(self._crane.manifest(f"{registry}/{self.path}:{self.tag}"))

    def copy(self, registry: str, digest: str) -> None:
        target = f"{registry}/{self.path}:{self.tag}"
        if self._source:
            manifest = self._crane.digest(f"{self._source}:{self.tag}")
            exact = f"{self._source}@{manifest}"
            if archive_digest(self._crane.manifest(exact)) != digest:
                raise MirrorError(
                    f"{self.listed_in}: [{self.name}]: {self._source}:{self.tag} changed while it was read"
                )
            return self._crane.copy(exact, target)
        archive = self._repository.download(self.name, self.tag, digest)
        with TemporaryDirectory() as folder:
            self._crane.push_layout(write_layout(Path(folder), archive), target)

    def missing_parts(self, registry: str) -> list[str]:
        return []  # one layer, which a registry wants before the manifest
