"""Looks up a kind in Kubernetes itself, in the same set of objects, and in earlier sets."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from .._arguments import ConfigurationError
from .contents import ClusterContents
from .definitions import Definition, UncheckedKind
from .objects import CLUSTER_SCOPED, group_of
from .schemas import ANYTHING, CoreSchemas, Schema

GroupKind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind in one version.

    - ``namespaced``: None if the scope is unknown and only the object itself shows it.
    - ``definition``: group and kind of its definition; None for a built-in kind.
    """

    schema: Schema
    namespaced: bool | None
    definition: GroupKind | None = None


def kind_of(api_version: str, kind: str, own: Mapping[GroupKind, Definition], contents: ClusterContents) -> Kind:
    """Look a kind up.

    :param own: definitions in the same set as the object.
    :raises ConfigurationError: if the kind is unknown or the version is not served; the message names the fix.
    """
    core = contents.core
    if schema := core.schema(api_version, kind):
        return Kind(schema, kind not in CLUSTER_SCOPED)
    key = (group_of(api_version), kind)
    definition = own.get(key) or (contents.kinds[key][0] if key in contents.kinds else None)
    if definition is None:
        raise ConfigurationError(_unknown(api_version, kind, core))
    if isinstance(definition, UncheckedKind):
        return Kind(Schema(properties={"metadata": core.metadata}, others=ANYTHING), None, key)
    custom = definition.schema(api_version.rpartition("/")[2], core.metadata)
    if custom is None:
        served = ", ".join(f"{definition.group}/{version}" for version in definition.versions)
        raise ConfigurationError(f"apiVersion: its definition does not serve {api_version}; use {served}")
    return Kind(custom, definition.namespaced, key)


def _unknown(api_version: str, kind: str, core: CoreSchemas) -> str:
    if near := difflib.get_close_matches(kind, core.kinds(api_version), n=1):
        return f"kind: {api_version} has no such kind in Kubernetes {core.minor}; did you mean {near[0]!r}?"
    if elsewhere := core.api_versions(kind):
        return f"apiVersion: Kubernetes {core.minor} has no such kind in {api_version}; use {' or '.join(elsewhere)}"
    return (
        f"kind: nothing earlier defines {kind} of {api_version}; add its {_CRD} to this set or an earlier one, "
        "or declare with ProvidedObjects what creates it"
    )


_CRD = "CustomResourceDefinition"
