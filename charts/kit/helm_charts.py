"""Helm charts, and their addresses in the account's own registry."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from charts.kit.stand_ins import StandIn
from mlplatform_constructs import ConfigurationError


@dataclass(frozen=True)
class HelmChart:
    """One Helm chart of a component.

    :param name: the chart's name.
    :param repository: where the chart is; with ``oci://`` the address of the chart itself.
    :param version: of the chart.
    :param source: where the source code is.
    :param licence: SPDX identifier of the licence.
    :param images: keys of the images that it runs.
    :param digest: ``sha256:...`` of the chart's archive. Default: not recorded.
    :param stand_in: what the rehearsal installs where the chart cannot be fetched. Default: definitions alone.
    """

    name: str
    repository: str
    version: str
    source: str
    licence: str
    images: tuple[str, ...] = ()
    digest: str | None = None
    stand_in: StandIn = field(default_factory=StandIn)


class HelmCharts:
    """Looks up charts by name.

    :param registry: the account's registry, which contains the charts as ``charts/<name>``. Default: the repositories
        of their projects.
    """

    def __init__(self, charts: Iterable[HelmChart], *, registry: str | None = None) -> None:
        self._charts = {chart.name: chart for chart in charts}
        self._registry = registry

    def __iter__(self) -> Iterator[HelmChart]:
        return iter(self._charts.values())

    def chart(self, name: str) -> HelmChart:
        """The entry of a chart; its ``repository`` is the account's where there is one.

        :raises ConfigurationError: for a chart that no component lists.
        """
        if name not in self._charts:
            raise ConfigurationError(
                f"no release.toml lists a Helm chart {name!r}; listed are: {', '.join(self._charts)}"
            )
        chart = self._charts[name]
        return replace(chart, repository=f"oci://{self._registry}/charts/{name}") if self._registry else chart
