"""All components of Kubeflow with their objects, for tests that hold for each of them."""

import functools
from collections.abc import Iterator
from typing import Any

from charts.catalog import Catalog
from tests.charts.kubeflow import core, operators, runs

CATALOG = Catalog.load()


@functools.cache
def everything() -> dict[str, list[Any]]:
    """Objects by the name of the component; those of Pipelines together, as upstream has them."""
    pipelines = {**runs.charts(runs.BUCKET, runs.rds), **runs.stores()}
    return {
        **{name: chart.to_json() for name, chart in core.charts().items()},
        **operators.OBJECTS,
        "kubeflow/pipelines": [one for chart in pipelines.values() for one in chart.to_json()],
    }


def strings(value: Any) -> Iterator[str]:
    """Every text in a value, but for the names of fields."""
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from strings(item)
        case list():
            for item in value:
                yield from strings(item)
