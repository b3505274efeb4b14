"""The mirrored items: images, and Helm charts as OCI artifacts, each identified by one digest.

The digest of an image is that of its index, which includes all platforms. The digest of a chart is that of its archive,
which is both the digest in the index of a chart repository and the digest of the layer in a registry.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from charts.kit.helm_charts import HelmChart
from charts.kit.images import Image
from delivery.mirror.chart_layout import archive_digest, write_layout
from delivery.mirror.chart_repository import ChartRepository
from delivery.mirror.crane import Crane
from delivery.mirror.errors import MirrorError


class Item(Protocol):
    """One entry of a list.

    - ``listed_in``: the list, a ``release.toml``; ``name`` is the table in it, ``tag`` the version.
    - ``recorded``: the digest in the list, if any.
    - ``path``: the repository within a mirror.
    """

    listed_in: str
    name: str
    tag: str
    path: str
    recorded: str | None

    def upstream(self) -> str | None:
        """Digest at the source, or None if it does not exist there."""

    def mirrored(self, registry: str) -> str | None:
        """Digest in a mirror, or None if it does not exist there."""

    def copy(self, registry: str, digest: str) -> None:
        """Copy the item with this digest from the source to a mirror.

        :raises MirrorError: if it cannot be read or stored.
        """

    def missing_parts(self, registry: str) -> list[str]:
        """Digests that it refers to and that are missing in a mirror."""


class MirroredImage:
    """An image of a component."""

    def __init__(self, image: Image, *, crane: Crane, listed_in: str) -> None:
        self.listed_in, self.name = listed_in, f"images.{image.name}"
        self.tag, self.path, self.recorded = image.tag, image.image, image.digest
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
    """A Helm chart of a component, from a chart repository or, with ``oci://``, from a registry."""

    def __init__(
        self, chart: HelmChart, *, crane: Crane, listed_in: str, repository: ChartRepository | None = None
    ) -> None:
        self.listed_in, self.name = listed_in, f"charts.{chart.name}"
        self.tag, self.path = chart.version, f"charts/{chart.name}"
        self._chart = chart.name
        self.recorded = chart.digest
        self._crane = crane
        self._source = chart.repository.removeprefix("oci://") if chart.repository.startswith("oci://") else None
        self._repository = repository or ChartRepository(chart.repository)

    def upstream(self) -> str | None:
        if self._source:
            return archive_digest(self._crane.manifest(f"{self._source}:{self.tag}"))
        listed = self._repository.find(self._chart, self.tag)
        return listed.digest if listed else None

    def mirrored(self, registry: str) -> str | None:
        return archive_digest(self._crane.manifest(f"{registry}/{self.path}:{self.tag}"))

    def copy(self, registry: str, digest: str) -> None:
        target = f"{registry}/{self.path}:{self.tag}"
        if self._source:
            manifest = self._crane.digest(f"{self._source}:{self.tag}")
            exact = f"{self._source}@{manifest}"
            if archive_digest(self._crane.manifest(exact)) != digest:
                raise MirrorError(f"{self.listed_in}: [{self.name}]: {self._source}:{self.tag} changed during the copy")
            return self._crane.copy(exact, target)
        archive = self._repository.download(self._chart, self.tag, digest)
        with TemporaryDirectory() as folder:
            self._crane.push_layout(write_layout(Path(folder), archive), target)

    def missing_parts(self, registry: str) -> list[str]:
        return []  # one layer, which must be pushed before the manifest
