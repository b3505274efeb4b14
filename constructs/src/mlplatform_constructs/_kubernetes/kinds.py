"""What is known of a kind: from Kubernetes itself, from the same set of objects, or from what came before."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from .contents import ClusterContents
from .definitions import Definition, UncheckedKind
from .objects import CLUSTER_SCOPED, group_of
from .schemas import ANYTHING, CoreSchemas, Schema

GroupKind = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a kind in one version.

    - ``namespaced``: None where only the object itself tells.
    - ``definition``: group and kind of the definition behind it; None for a kind of Kubernetes itself.
    """

    schema: Schema
    namespaced: bool | None
    definition: GroupKind | None = None


def kind_of(api_version: str, kind: str, own: Mapping[GroupKind, Definition], contents: ClusterContents) -> Kind:
    """What is known of a kind.

    :param own: definitions that come along with the object.
    :raises ValueError: where nothing is known, or this version is not served, with what to do.
    """
    core = contents.core
    if schema := core.schema(api_version, kind):
        return Kind(schema, kind not in CLUSTER_SCOPED)
    key = (group_of(api_version), kind)
    definition = own.get(key) or (contents.kinds[key][0] if key in contents.kinds else None)
    if definition is None:
        raise ValueError(_unknown(api_version, kind, core))
    if isinstance(definition, UncheckedKind):
        return Kind(Schema(properties={"metadata": core.metadata}, others=ANYTHING), None, key)
    custom = definition.schema(api_version.rpartition("/")[2], core.metadata)
    if custom is None:
        served = ", ".join(f"{definition.group}/{version}" for version in definition.versions)
        raise ValueError(f"apiVersion: its definition does not serve {api_version}; use {served}")
    return Kind(custom, definition.namespaced, key)


def _unknown(api_version: str, kind: str, core: CoreSchemas) -> str:
    if near := difflib.get_close_matches(kind, core.kinds(api_version), n=1):
        return f"kind: {api_version} has no such kind in Kubernetes {core.minor}; did you mean {near[0]!r}?"
    if elsewhere := core.api_versions(kind):
        return f"apiVersion: Kubernetes {core.minor} has no such kind in {api_version}; use {' or '.join(elsewhere)}"
    return (
        f"kind: nothing before it defines {kind} of {api_version}; deliver its {_CRD} in this set or an earlier one, "
        "or say in a ProvidedObjects who brings it"
    )


_CRD = "CustomResourceDefinition"
