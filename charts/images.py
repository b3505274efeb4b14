"""The list of images, and how their names are rewritten to a registry of the account's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from charts.toml_list import load_list

LIST = Path(__file__).parent / "images.toml"


@dataclass(frozen=True)
class Image:
    """One entry of the list.

    :param name: the key in the list.
    :param image: registry and repository, fully qualified.
    :param tag: the version.
    :param source: where the source code is.
    :param licence: SPDX identifier of the licence.
    :param digest: ``sha256:...`` of the image index. Default: not recorded; the tag alone says which image runs.
    """

    name: str
    image: str
    tag: str
    source: str
    licence: str
    digest: str | None = None


class Images:
    """Looks images up by their name in the list.

    :param registry: a registry that mirrors every image of the list, such as
        ``012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror``; the path of an image below it is its upstream name.
        Default: each image comes from its own upstream registry.
    """

    def __init__(self, entries: Mapping[str, Image], *, registry: str | None = None) -> None:
        self._entries = dict(entries)
        self._registry = registry

    @classmethod
    def load(cls, path: Path = LIST, *, registry: str | None = None) -> Self:
        """Read the list of the project.

        :raises ValueError: if an entry lacks a field or has one that nobody reads.
        """
        return cls(load_list(path, Image), registry=registry)

    def __iter__(self) -> Iterator[Image]:
        return iter(self._entries.values())

    def repository(self, name: str) -> str:
        """Registry and repository, without tag, for Helm values that want them apart."""
        entry = self._entry(name)
        return f"{self._registry}/{entry.image}" if self._registry else entry.image

    def tag(self, name: str) -> str:
        """The tag alone, for Helm values that want it apart."""
        return self._entry(name).tag

    def pinned_tag(self, name: str) -> str:
        """The tag with the digest, where it is recorded, for Helm values that know tags only."""
        entry = self._entry(name)
        return entry.tag + (f"@{entry.digest}" if entry.digest else "")

    def digest(self, name: str) -> str | None:
        """``sha256:...`` where it is recorded, for Helm values that want it apart."""
        return self._entry(name).digest

    def reference(self, name: str) -> str:
        """What goes into a container's ``image``: repository, tag and, where it is recorded, digest."""
        return f"{self.repository(name)}:{self.pinned_tag(name)}"

    def refuse_strangers(self, manifests: Iterator[Mapping[str, Any]] | list[Any]) -> None:
        """Check that the containers of all objects run images of the list, in the rewritten form.

        :raises ValueError: with one line for each container that does not.
        """
        known = {self.reference(name) for name in self._entries}
        strangers = [
            f"{manifest['kind']} {manifest['metadata']['name']}: container {container['name']}: image "
            f"{container.get('image')!r} is not in charts/images.toml; add it there and name it by its key"
            for manifest in manifests
            for container in containers(manifest)
            if container.get("image") not in known
        ]
        if strangers:
            raise ValueError("\n".join(strangers))

    def _entry(self, name: str) -> Image:
        if name not in self._entries:
            raise ValueError(f"images.toml: no image {name!r}; there are: {', '.join(self._entries)}")
        return self._entries[name]


def containers(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All containers of a workload, whatever its kind."""
    spec = manifest.get("spec") or {}
    for part in ("jobTemplate", "template"):
        spec = (spec.get(part) or {}).get("spec", spec) if isinstance(spec, Mapping) else {}
    if isinstance(spec, Mapping):
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            found = spec.get(kind)
            if isinstance(found, list):
                yield from (container for container in found if isinstance(container, Mapping) and "name" in container)
