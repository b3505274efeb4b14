"""Images, and how their names are rewritten to a registry of the account's own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mlplatform_constructs import ConfigurationError


@dataclass(frozen=True)
class Image:
    """One image of a component.

    :param name: the key by which objects and Helm values name it.
    :param image: registry and repository, fully qualified.
    :param tag: the version.
    :param source: where the source code is.
    :param licence: SPDX identifier of the licence.
    :param digest: ``sha256:...`` of the image index. Default: not recorded; only the tag identifies the image.
    """

    name: str
    image: str
    tag: str
    source: str
    licence: str
    digest: str | None = None


class Images:
    """Looks up images by key.

    :param registry: a registry that mirrors every image, such as
        ``012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror``; the path of an image below it is its upstream name.
        Default: each image comes from its own upstream registry.
    """

    def __init__(self, images: Iterable[Image], *, registry: str | None = None) -> None:
        self._images = {image.name: image for image in images}
        self._registry = registry

    def __iter__(self) -> Iterator[Image]:
        return iter(self._images.values())

    def repository(self, name: str) -> str:
        """Registry and repository, without tag, for Helm values that want them apart."""
        image = self._image(name)
        return f"{self._registry}/{image.image}" if self._registry else image.image

    def tag(self, name: str) -> str:
        """The tag alone, for Helm values that want it apart."""
        return self._image(name).tag

    def pinned_tag(self, name: str) -> str:
        """The tag with the digest, where it is recorded, for Helm values that know tags only."""
        image = self._image(name)
        return image.tag + (f"@{image.digest}" if image.digest else "")

    def digest(self, name: str) -> str | None:
        """``sha256:...`` where it is recorded, for Helm values that want it apart."""
        return self._image(name).digest

    def reference(self, name: str) -> str:
        """The value of a container's ``image``: repository, tag and, where it is recorded, digest."""
        return f"{self.repository(name)}:{self.pinned_tag(name)}"

    def _image(self, name: str) -> Image:
        if name not in self._images:
            raise ConfigurationError(f"no release.toml lists an image {name!r}; listed are: {', '.join(self._images)}")
        return self._images[name]
