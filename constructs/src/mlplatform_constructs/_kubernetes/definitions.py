"""Custom kinds and their schemas, as CustomResourceDefinitions declare them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._arguments import ConfigurationError
from .objects import CRD
from .schemas import Schema, custom_schema

_TEXT = Schema(types=frozenset(["string"]))


@dataclass(frozen=True, slots=True)
class Definition:
    """A custom kind with its schemas.

    - ``plural``: the name of the resource in webhooks and roles.
    - ``versions``: the ``openAPIV3Schema`` of each served version.
    """

    group: str
    kind: str
    plural: str
    namespaced: bool
    versions: Mapping[str, Mapping[str, Any]]
    _compiled: dict[str, Schema] = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> "Definition":
        """Read the kind that a CustomResourceDefinition defines.

        :raises ConfigurationError: if a required field is missing or invalid.
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
            raise ConfigurationError(f"spec: required field {missing} is missing") from None
        except (AttributeError, TypeError):
            raise ConfigurationError(f"spec: not the specification of a {CRD}") from None

    def schema(self, version: str, metadata: Schema) -> Schema | None:
        """The schema of a version's resources, or None if the version is not served.

        :param metadata: the schema of all objects' metadata.
        """
        if version in self.versions and version not in self._compiled:
            schema = custom_schema(self.versions[version])
            schema.properties |= {"apiVersion": _TEXT, "kind": _TEXT, "metadata": metadata}
            self._compiled[version] = schema
        return self._compiled.get(version)


@dataclass(frozen=True, slots=True)
class UncheckedKind:
    """A custom kind without a known schema: only the names of its resources are checked."""

    group: str
    kind: str
