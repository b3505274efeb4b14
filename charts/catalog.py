"""Everything that the platform installs in clusters, read from the folders of the components.

A component is a folder below ``charts/<area>/`` with its objects or Helm values, its ``release.toml``, and the
definitions of its kinds in ``definitions/*.json``. Mirror, synthesis, rehearsal and tests ask this catalog.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from charts.kit.helm_charts import HelmCharts
from charts.kit.images import Images
from charts.kit.listed_images import unlisted_objects, unlisted_values
from charts.kit.objects import Manifest
from charts.kit.release import FILE, AddOn, AwsRole, Release
from mlplatform_constructs import ConfigurationError

FOLDER = Path(__file__).parent
_HELM_RELEASE, _HELM_NAMESPACE = "{{ .Release.Name }}", "{{ .Release.Namespace }}"


@dataclass(frozen=True)
class Component:
    """One folder.

    :param name: ``<area>/<folder>``, such as ``nodes/karpenter``.
    """

    name: str
    folder: Path
    release: Release

    @property
    def listed_in(self) -> str:
        """The name of its list in messages."""
        return f"{FOLDER.name}/{self.name}/{FILE}"

    @cached_property
    def definitions(self) -> tuple[Manifest, ...]:
        """Its CustomResourceDefinitions, by the names of their files."""
        files = sorted(self.folder.glob("definitions/*.json"))
        return tuple(json.loads(file.read_text(encoding="utf-8")) for file in files)


class Catalog:
    """All components.

    - ``images``, ``helm_charts``: what they list, rewritten to the account's registry.
    - ``add_ons``: the EKS add-ons by name.

    :param registry: the account's registry, which mirrors images and charts. Default: the registries of their projects.
    :raises ConfigurationError: for a name that two components list, or a chart with unlisted images.
    """

    def __init__(self, components: Iterable[Component], *, registry: str | None = None) -> None:
        self.components = {component.name: component for component in components}
        releases = {name: component.release for name, component in self.components.items()}
        self._providers = _unique(
            (name, component)
            for component, release in releases.items()
            for name in (*(chart.name for chart in release.charts), *(add_on.name for add_on in release.add_ons))
        )
        _unique((image.name, component) for component, release in releases.items() for image in release.images)
        self.images = Images((image for release in releases.values() for image in release.images), registry=registry)
        self.helm_charts = HelmCharts(
            (chart for release in releases.values() for chart in release.charts), registry=registry
        )
        self.add_ons: Mapping[str, AddOn] = {
            each.name: each for release in releases.values() for each in release.add_ons
        }
        self._roles = {role.name: role for release in releases.values() for role in release.roles}
        _unique((role.name, component) for component, release in releases.items() for role in release.roles)
        for chart in self.helm_charts:
            for image in chart.images:
                self.images.tag(image)

    @classmethod
    def load(cls, folder: Path = FOLDER, *, registry: str | None = None) -> Self:
        """Read the folders of all components."""
        paths = sorted(folder.glob(f"*/*/{FILE}"))
        return cls((cls._component(folder, path) for path in paths), registry=registry)

    @staticmethod
    def _component(folder: Path, path: Path) -> Component:
        name = path.parent.relative_to(folder).as_posix()
        return Component(name, path.parent, Release.load(path, place=f"{FOLDER.name}/{name}/{FILE}"))

    def definitions(self, component: str) -> tuple[Manifest, ...]:
        """The CustomResourceDefinitions of a component, such as ``edge/istio``."""
        return self.components[component].definitions

    def role(self, name: str) -> AwsRole:
        """The service account that needs AWS access of a name.

        :raises ConfigurationError: if no component lists it.
        """
        if name not in self._roles:
            raise ConfigurationError(f"no release.toml lists a role {name!r}; listed are: {', '.join(self._roles)}")
        return self._roles[name]

    def require_listed_objects(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Check that objects name images of the catalog only, in the form that the account uses.

        :raises ConfigurationError: with one line for each image that is not listed.
        """
        _refuse(unlisted_objects(objects, self.images))

    def require_listed_values(self, name: str, values: Any) -> None:
        """Check that Helm values, or the configuration of an add-on, name images of the catalog only.

        :raises ConfigurationError: with one line for each image that is not listed.
        """
        _refuse(unlisted_values(name, values, self.images))

    def stand_ins(self) -> dict[str, Any]:
        """What the rehearsal installs in place of a chart or an add-on that is unavailable, as data.

        ``charts``: for each Helm chart the repository of its project, and objects with Helm's placeholders for release
        and namespace; ``add_ons``: for each EKS add-on its objects.
        """
        charts: dict[str, Any] = {}
        add_ons: dict[str, Any] = {}
        for component in self.components.values():
            for chart in component.release.charts:
                found = component.definitions if self._brings_definitions(component, chart.name) else ()
                images = ",".join(self._public_name(image) for image in chart.images)
                objects = chart.stand_in.objects(
                    found, namespace=_HELM_NAMESPACE, stands_for=images, release=_HELM_RELEASE
                )
                charts[chart.name] = {"repository": chart.repository, "objects": objects}
            for add_on in component.release.add_ons:
                namespace = add_on.stand_in.namespace or "kube-system"
                name = f"EKS add-on {add_on.name}"
                if objects := add_on.stand_in.objects(component.definitions, namespace=namespace, stands_for=name):
                    add_ons[add_on.name] = objects
        return {"charts": charts, "add_ons": add_ons}

    def _public_name(self, key: str) -> str:
        """Name and tag of an image in the registry of its project."""
        image = next(image for image in self.images if image.name == key)
        return f"{image.image}:{image.tag}"

    @staticmethod
    def _brings_definitions(component: Component, chart: str) -> bool:
        """The first chart of a component installs its definitions."""
        return component.release.charts[0].name == chart


def _unique(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, component in named:
        if name in found:
            raise ConfigurationError(
                f"charts/{component}/{FILE}: {name!r} is already listed by {found[name]}; remove one of the two"
            )
        found[name] = component
    return found


def _refuse(lines: Iterator[str]) -> None:
    if found := list(lines):
        raise ConfigurationError("\n".join(found))
