"""Kinds that Kubernetes gets from CustomResourceDefinitions, and what their resources must look like."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .objects import CRD
from .schemas import Schema, custom_schema

_TEXT = Schema(types=frozenset(["string"]))


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind that somebody adds to Kubernetes.

    - ``plural``: as webhooks and roles name it.
    - ``versions``: the ``openAPIV3Schema`` of each version that is served.
    """

    group: str
    kind: str
    plural: str
    namespaced: bool
    versions: Mapping[str, Mapping[str, Any]]
    _compiled: dict[str, Schema] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Definition":
        """What a CustomResourceDefinition defines.

        :raises ValueError: where it does not say so.
        """
        try:
            spec = body["spec"]
            return cls(
                group=spec["group"],
                kind=spec["names"]["kind"],
                plural=spec["names"]["plural"],
                namespaced=spec["scope"] == "Namespaced",
                versions={
                    version["name"]: dict(version["schema"]["openAPIV3Schema"])
                    for version in spec["versions"]
                    if version["served"]
                },
            )
        except KeyError as missing:
            raise ValueError(f"spec: {missing} is required somewhere in it") from None
        except (AttributeError, TypeError):
            raise ValueError(f"spec: is not that of a {CRD}") from None

    def schema(self, version: str, metadata: Schema) -> Schema | None:
        """What resources of a version must look like, or None where the version is not served.

        :param metadata: the schema of all objects' metadata.
        """
        if version in self.versions and version not in self._compiled:
            schema = custom_schema(self.versions[version])
            schema.properties |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": metadata}
            self._compiled[version] = schema
        return self._compiled.get(version)


@dataclass(frozen=True, slots=True)
class UncheckedKind:
    """A kind that somebody adds to Kubernetes without telling its schema: only the names of resources are checked."""

    group: str
    kind: str
