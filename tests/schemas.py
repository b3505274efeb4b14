"""Validity of Kubernetes objects as an assertion."""

from collections.abc import Iterable, Mapping
from typing import Any

import kubernetes_validate


def assert_valid(objects: Iterable[Mapping[str, Any]], minor: str) -> None:
    """Every object is valid in a Kubernetes minor, such as ``1.35``; no field is unknown, and there is an object."""
    found = list(objects)
    assert found, "no object, so nothing was validated"
    mistakes = {}
    for one in found:
        try:
            kubernetes_validate.validate(one, minor, strict=True)
        except kubernetes_validate.ValidationError as error:
            mistakes[f"{one['kind']} {one['metadata']['name']}"] = str(error)
    assert mistakes == {}
