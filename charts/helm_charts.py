"""The list of Helm charts, and where they come from when the account has a registry of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from charts.toml_list import load_list

LIST = Path(__file__).parent / "helm_charts.toml"


@dataclass(frozen=True)
class HelmChart:
    """One entry of the list.

    :param name: the chart's name, and the key in the list.
    :param repository: where the chart is; with ``oci://`` the address of the chart itself.
    :param version: of the chart.
    :param source: where the source code is.
    :param licence: SPDX identifier of the licence.
    :param images: keys of its images in ``images.toml``.
    :param digest: ``sha256:...`` of the chart's archive. Default: not recorded.
    """

    name: str
    repository: str
    version: str
    source: str
    licence: str
    images: tuple[str, ...]
    digest: str | None = None


class HelmCharts:
    """Looks charts up by their name.

    :param registry: the account's registry; a chart lies below it as ``charts/<name>``. Default: each chart comes from
        its own project.
    """

    def __init__(self, entries: Mapping[str, HelmChart], *, registry: str | None = None) -> None:
        self._entries = dict(entries)
        self._registry = registry

    @classmethod
    def load(cls, path: Path = LIST, *, registry: str | None = None) -> Self:
        """Read the list of the project.

        :raises ValueError: if an entry lacks a field or has one that nobody reads.
        """
        return cls(load_list(path, HelmChart), registry=registry)

    def __iter__(self) -> Iterator[HelmChart]:
        return iter(self._entries.values())

    def chart(self, name: str) -> HelmChart:
        """The entry of a chart; its ``repository`` is the account's where there is one.

        :raises ValueError: for a chart that is not on the list.
        """
        if name not in self._entries:
            raise ValueError(f"helm_charts.toml: no chart {name!r}; there are: {', '.join(self._entries)}")
        entry = self._entries[name]
        return replace(entry, repository=f"oci://{self._registry}/charts/{name}") if self._registry else entry
