"""Finds images that are not in the catalog, wherever an object, a Helm value or a setting names one."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from charts.kit.images import Images
from charts.kit.objects import identity

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*(?::\d+)?"
_PATH = r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+"
_VERSION = r"(?::[A-Za-z0-9_][\w.-]*(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})"
_REFERENCE = re.compile(rf"(?<![\w./:@-]){_HOST}{_PATH}{_VERSION}(?![\w/:-])")
"""An image in running text: a host with a dot, a path, and a tag or digest."""
_SETTING = re.compile(r"""\b[\w.-]*image\b["']?\s*(?:[:=]|\s)\s*["']?(?P<value>[\w.:/@-]+)""", re.IGNORECASE)
"""``image: x``, ``"executorImage": "x"``, ``--init-image=x``."""
_IMAGE_KEY = re.compile(r"(?:^|[a-z_.-])image$", re.IGNORECASE)
_TEXTS = ("args", "command", "data", "env", "stringData")
"""Fields whose text is read as settings."""
_FLAGS = {"true", "false", "null", "none", "always", "never", "ifnotpresent"}


def unlisted_objects(objects: Iterable[Mapping[str, Any]], images: Images) -> Iterator[str]:
    """One line for each image that an object names and no component lists: in containers, in custom resources, and in
    the text of ConfigMaps, arguments and variables. Definitions of kinds name none.
    """
    known = _Known(images)
    for found in objects:
        if found["kind"] != "CustomResourceDefinition":
            for place, value in known.unlisted(found, settings=False):
                yield f"{identity(found)}: {place}: {_said(value)}"


def unlisted_values(name: str, values: Any, images: Images) -> Iterator[str]:
    """One line for each image in Helm values or in the configuration of an add-on that no component lists.

    :param name: of the chart or add-on.
    """
    for place, value in _Known(images).unlisted(values, settings=True):
        yield f"{name}: {place}: {_said(value)}"


def _said(value: str) -> str:
    return f"image {value!r} is not in the release.toml of any component; add it there and refer to it by its key"


class _Known:
    def __init__(self, images: Images) -> None:
        self._references: set[str] = set()
        self._repositories: set[str] = set()
        for image in images:
            repository = images.repository(image.name)
            self._repositories.add(repository)
            self._references |= {f"{repository}:{image.tag}", images.reference(image.name)}
            self._references |= {f"{repository}@{image.digest}"} if image.digest else set()
        self._pinned = {images.reference(image.name) for image in images}

    def unlisted(self, value: Any, *, settings: bool, place: str = "") -> Iterator[tuple[str, str]]:
        """Place and text of each image that is not listed.

        :param settings: whether text is read as settings, too.
        """
        match value:
            case Mapping():
                yield from self._in_mapping(value, settings, place)
            case str():
                yield from ((place, found) for found in self._in_text(value, settings))
            case Sequence():
                for number, item in enumerate(value):
                    before = value[number - 1] if number else None
                    if isinstance(item, str) and isinstance(before, str) and before.startswith("-"):
                        yield from self._exact(before, item, f"{place}[{number}]")  # --image x
                    name = item.get("name", number) if isinstance(item, Mapping) else number
                    yield from self.unlisted(item, settings=settings, place=f"{place}[{name}]")

    def _in_mapping(self, value: Mapping[str, Any], settings: bool, place: str) -> Iterator[tuple[str, str]]:
        if isinstance(value.get("repository"), str):
            yield from self._parts(value, place)
        if isinstance(value.get("hub"), str) and not any(
            known.startswith(value["hub"] + "/") for known in self._repositories
        ):
            yield f"{place}.hub".lstrip("."), value["hub"]
        if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):  # a variable of a container
            yield from self._exact(value["name"], value["value"], place)
        for key, item in value.items():
            inner = f"{place}.{key}".lstrip(".")
            if isinstance(item, str) and _IMAGE_KEY.search(key):
                yield from self._exact(key, item, inner)
            elif not (key == "repository" and isinstance(item, str)):
                yield from self.unlisted(item, settings=settings or key in _TEXTS, place=inner)

    def _parts(self, value: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
        """Repository, tag and digest apart, as many Helm charts want them."""
        registry = f"{value['registry']}/" if value.get("registry") else ""
        name = f"{registry}{value['repository']}"
        tag = f":{value['tag']}" if value.get("tag") else ""
        digest = f"@{value['digest']}" if value.get("digest") else ""
        if name not in self._repositories or (tag or digest) and f"{name}{tag}{digest}" not in self._references:
            yield place, f"{name}{tag}{digest}"

    def _exact(self, key: str, text: str, place: str) -> Iterator[tuple[str, str]]:
        """The value of a field or variable that is called an image. Objects must pin what the list pins."""
        if _IMAGE_KEY.search(key) and text and text.lower() not in _FLAGS and text not in self._pinned:
            yield place, text

    def _in_text(self, text: str, settings: bool) -> Iterator[str]:
        found = [match[0] for match in _REFERENCE.finditer(text)] if "/" in text else []  # most texts have none
        if settings:
            found += [match["value"] for match in _SETTING.finditer(text) if match["value"].lower() not in _FLAGS]
        yield from (name for name in dict.fromkeys(found) if name not in self._references)
