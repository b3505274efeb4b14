"""What is installed in place of Helm charts and EKS add-ons that only their projects or AWS have.

The file is JSON. ``charts`` holds for each Helm chart ``repository``, where its project publishes it, and ``objects``,
which may use Helm's placeholders for the release; ``add_ons`` holds the objects of each EKS add-on. A stand-in should
bring the definitions and names that others rely on, and workloads that run nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

Object = dict[str, Any]


@dataclass(frozen=True)
class StandIns:
    """The content of a file.

    :param charts: objects by Helm chart.
    :param repositories: address of the project's repository by Helm chart.
    :param add_ons: objects by EKS add-on.
    """

    charts: Mapping[str, list[Object]] = field(default_factory=dict)
    repositories: Mapping[str, str] = field(default_factory=dict)
    add_ons: Mapping[str, list[Object]] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """From the content of a file."""
        charts = content.get("charts", {})
        return cls(
            charts={name: chart["objects"] for name, chart in charts.items()},
            repositories={name: chart["repository"] for name, chart in charts.items()},
            add_ons=content.get("add_ons", {}),
        )

    @classmethod
    def load(cls, file: Path | None) -> Self:
        """Load stand-ins from a file; without a file there are none."""
        return cls.of(json.loads(file.read_text(encoding="utf-8"))) if file else cls()

    def write_chart(self, chart: str, version: str, folder: Path) -> None:
        """Write the stand-in of ``chart`` as a Helm chart.

        :param version: the real chart's.
        :param folder: of the chart, which must not exist.
        """
        templates = folder / "templates"
        templates.mkdir(parents=True)
        about = {
            "apiVersion": "v2",
            "name": chart,
            "version": version,
            "description": "Stands in for a chart that could not be fetched",
        }
        (folder / "Chart.yaml").write_text(json.dumps(about), encoding="utf-8")
        # Indented, so that no two braces meet, which would begin a template.
        objects = [json.dumps(found, indent=1) for found in self.charts[chart]]
        (templates / "objects.yaml").write_text("\n---\n".join(objects), encoding="utf-8")
