"""The ``release.toml`` of a component: which software it installs, at one version.

.. code-block:: toml

    source = "https://github.com/aws/karpenter-provider-aws"
    licence = "Apache-2.0"
    version = "1.14.1"

    [images.karpenter]
    image = "public.ecr.aws/karpenter/controller"
    tag = "{version}"

    [charts.karpenter]
    repository = "oci://public.ecr.aws/karpenter/karpenter"
    images = ["karpenter"]

    [charts.karpenter.stand_in]
    deployments = ["karpenter"]

An entry has the component's source, licence and version unless it states its own. ``[add_ons.NAME]`` stands for an EKS
add-on, whose builds AWS publishes for each Kubernetes minor: the library's table of Kubernetes releases holds these.
``[roles.NAME]`` names AWS access that pods need, with the ``namespace`` and ``service_account`` that get it.
"""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from charts.kit.helm_charts import HelmChart
from charts.kit.images import Image
from charts.kit.stand_ins import StandIn
from mlplatform_constructs import ConfigurationError

FILE = "release.toml"

Entry = TypeVar("Entry")
_COMMON = ("source", "licence", "version")


@dataclass(frozen=True)
class AddOn:
    """An EKS add-on.

    :param name: as EKS knows it.
    :param source: where its source code is.
    :param licence: SPDX identifier of the licence.
    :param stand_in: what the rehearsal puts in its place.
    """

    name: str
    source: str
    licence: str
    stand_in: StandIn = field(default_factory=StandIn)


@dataclass(frozen=True)
class AwsRole:
    """AWS access that a component needs.

    :param name: name of the access; the stack that installs the component defines its permissions.
    :param namespace: of the service account.
    :param service_account: whose pods get the role.
    """

    name: str
    namespace: str
    service_account: str


@dataclass(frozen=True)
class Release:
    """All entries of one component's file."""

    images: tuple[Image, ...]
    charts: tuple[HelmChart, ...]
    add_ons: tuple[AddOn, ...]
    roles: tuple[AwsRole, ...] = ()

    @classmethod
    def load(cls, path: Path, *, place: str | None = None) -> "Release":
        """Read a file.

        :param place: its name in messages. Default: its path.
        :raises ConfigurationError: if an entry lacks a field or has an unknown one.
        """
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        place = place or str(path)
        common = {key: tables.pop(key) for key in _COMMON if key in tables}
        kinds: dict[str, Callable[..., Any]] = {
            "images": Image,
            "charts": HelmChart,
            "add_ons": AddOn,
            "roles": AwsRole,
        }
        if unknown := sorted(set(tables) - set(kinds)):
            raise ConfigurationError(f"{place}: unknown key {unknown[0]!r}; use {', '.join([*_COMMON, *kinds])}")
        found = {
            key: tuple(
                _entry(kind, name, table, common, f"{place}: [{key}.{name}]")
                for name, table in tables.get(key, {}).items()
            )
            for key, kind in kinds.items()
        }
        return cls(**found)


def _entry(
    kind: Callable[..., Entry], name: str, table: Mapping[str, Any], common: Mapping[str, str], place: str
) -> Entry:
    parameters = inspect.signature(kind).parameters
    fields: dict[str, Any] = {key: value for key, value in common.items() if key in parameters}
    for key, value in table.items():
        if key == "stand_in":
            value = StandIn.of(value, place)
        fields[key] = tuple(value) if isinstance(value, list) else value
    if "{version}" in fields.get("tag", ""):
        fields["tag"] = fields["tag"].replace("{version}", common["version"])
    try:
        return kind(name=name, **fields)
    except TypeError as error:
        needed = [each.name for each in parameters.values() if each.default is each.empty and each.name != "name"]
        raise ConfigurationError(f"{place}: {error}; an entry has {', '.join(needed)}") from None
