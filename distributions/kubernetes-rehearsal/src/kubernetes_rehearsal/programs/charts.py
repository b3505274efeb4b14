"""Helm charts of other projects, from the Go modules of their programs.

Registries of charts may be out of reach. The modules contain the charts of the versions that are built here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes_rehearsal import programs
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.programs.golang import go
from kubernetes_rehearsal.programs.store import CACHE
from kubernetes_rehearsal.programs.table import HERE


@dataclass(frozen=True)
class BuiltChart:
    """A chart whose programs are built.

    :param folder: of the chart, in Go's cache of modules; read-only.
    :param source: module and version.
    :param values: override those of the platform, where the sandbox or the built images differ from AWS.
    :param namespace: of the EKS add-on with the chart's name; empty for a chart that is not an add-on.
    """

    folder: Path
    source: str
    values: Mapping[str, Any]
    namespace: str


def built_chart(name: str, cache: Path = CACHE) -> BuiltChart:
    """The chart with this name, if all its programs are built.

    :raises KubernetesError: if the table of programs does not list the chart, one of its images is not built, or Go
        cannot download the module; in one line.
    """
    recipe = programs.table().charts.get(name)
    if not recipe:
        raise KubernetesError("the table of programs has no such chart")
    for image in recipe.images:
        if reason := programs.why_missing(image, cache):
            raise KubernetesError(f"{image}: {reason}")
    lock = HERE / "modules" / recipe.lock
    go(["mod", "download", recipe.module], lock)
    found = json.loads(go(["list", "-m", "-json", recipe.module], lock))
    found = found.get("Replace", found)
    return BuiltChart(
        folder=Path(found["Dir"]) / recipe.path,
        source=f"{found['Path']}@{found['Version']}",
        values=recipe.values,
        namespace=recipe.namespace,
    )
