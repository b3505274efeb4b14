"""Connections of notebooks and pages that are idle: what the objects of Kubeflow set in the mesh.

Without settings, Istio has no timeout for routes and an hour for idle connections.
https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings-HTTPSettings
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.charts.kubeflow.everything import everything

LIMITS = {"timeout", "perTryTimeout", "idleTimeout", "idle_timeout", "stream_idle_timeout", "max_stream_duration"}


def limits(value: Any) -> Iterator[str]:
    """The names of fields in a value that limit the time of a request or of an idle connection."""
    match value:
        case dict():
            yield from LIMITS & value.keys()
            for item in value.values():
                yield from limits(item)
        case list():
            for item in value:
                yield from limits(item)


@pytest.mark.promise("idle-timeout-chain")
def test_no_object_of_the_mesh_ends_a_connection_that_is_idle_for_less_than_istios_hour() -> None:
    mesh = [one for objects in everything().values() for one in objects if ".istio.io/" in one["apiVersion"]]
    assert {"VirtualService", "AuthorizationPolicy"} <= {one["kind"] for one in mesh}
    assert [(one["kind"], one["metadata"]["name"], name) for one in mesh for name in sorted(limits(one))] == []


def test_a_limit_anywhere_in_an_object_is_found() -> None:
    assert list(limits({"spec": {"http": [{"route": [], "timeout": "30s"}]}})) == ["timeout"]
