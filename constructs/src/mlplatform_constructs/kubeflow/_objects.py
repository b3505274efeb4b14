"""Names, images and metadata of objects."""

import re
from collections.abc import Mapping
from typing import Any

from .._arguments import ConfigurationError

MAX_NAME = 63
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAGGED = re.compile(r"[^\s@]+(:(?P<tag>[\w][\w.-]*)(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})")


def check_name(place: str, field: str, value: str, *, longest: int = MAX_NAME) -> None:
    """Check the name of an object and its pods.

    :raises ConfigurationError: for an invalid name or one with more than ``longest`` characters.
    """
    if not _NAME.fullmatch(value):
        raise ConfigurationError(
            f"{place}: {field} must be lower-case letters, digits and hyphens, beginning with a letter, got {value!r}"
        )
    if len(value) > longest:
        raise ConfigurationError(
            f"{place}: {field} must have at most {longest} characters, because names of pods are derived from it; "
            f"{value!r} has {len(value)}"
        )


def check_image(place: str, value: str) -> None:
    """Check that an image reference is pinned.

    :raises ConfigurationError: for an image without tag and digest, or with the tag ``latest``.
    """
    found = _TAGGED.fullmatch(value)
    if not found or "/" in (found["tag"] or ""):
        raise ConfigurationError(f"{place}: image must have a tag or a digest, got {value!r}")
    if found["tag"] == "latest" and "@" not in value:
        raise ConfigurationError(f"{place}: image must not have the tag 'latest', which changes; got {value!r}")


def check_environment(place: str, values: Mapping[str, str]) -> None:
    """Check the names of environment variables.

    :raises ConfigurationError: for the first invalid name.
    """
    for name in values:
        if not _VARIABLE.fullmatch(name):
            raise ConfigurationError(f"{place}: environment: {name!r} is not a valid name")


def variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    """The variables in the format of a container."""
    return [{"name": name, "value": value} for name, value in values.items()]


def given(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, (), [], {}, "")}


def custom_object(
    api_version: str,
    kind: str,
    name: str,
    namespace: str | None,
    spec: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An object in Kubernetes' format."""
    metadata = given(name=name, namespace=namespace, labels=dict(labels or {}), annotations=dict(annotations or {}))
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
