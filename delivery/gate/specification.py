"""What CloudFormation's resource specification says of a property: whether a change of it makes a new resource.

The specification is the one that the pinned CDK CLI carries for its own `cdk diff`
(https://github.com/cdklabs/awscdk-service-spec), made by AWS from CloudFormation's registry, with corrections.
"""

import functools
import gzip
import json
import tomllib
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

from delivery.errors import DeliveryError

_CORRECTIONS = Path(__file__).with_name("corrections.toml")
DATABASE = Path(__file__).parents[2] / "node_modules" / "aws-cdk" / "db.json.gz"

ALSO_STATEFUL = frozenset(
    {
        "AWS::CloudTrail::Trail",  # the record ends, and begins anew
        "AWS::CodeArtifact::Domain",  # its packages
        "AWS::CodeArtifact::Repository",  # its packages
        "AWS::DirectoryService::MicrosoftAD",  # people and groups
        "AWS::DirectoryService::SimpleAD",  # people and groups
        "AWS::ECR::Repository",  # images
        "AWS::EKS::Cluster",  # every object in its API
        "AWS::Glue::Database",  # its tables, those that jobs made included
        "AWS::Glue::Table",  # partitions that jobs registered
        "AWS::Kinesis::Stream",  # unread records
        "AWS::Route53::HostedZone",  # name servers that the parent domain delegates to, records of others
        "AWS::SNS::Topic",  # subscriptions that people made
        "AWS::SecretsManager::Secret",  # a password that others use
    }
)
"""Types with content that a new resource would not have, in addition to those that the specification calls stateful."""


class Replacement(IntEnum):
    """Whether a change of a property makes CloudFormation replace the resource."""

    NO = 0
    MAYBE = 1
    YES = 2


class Specification:
    """Resource types of CloudFormation by name.

    - ``in_place``: types and properties that AWS changes in place, whatever the specification says.
    """

    def __init__(self, types: dict[str, Any], definitions: dict[str, Any]) -> None:
        self._types = types
        self._definitions = definitions
        corrections = tomllib.loads(_CORRECTIONS.read_text(encoding="utf-8"))
        self.in_place = frozenset((one["type"], name) for one in corrections["in-place"] for name in one["properties"])

    @classmethod
    @functools.cache
    def load(cls, path: Path = DATABASE) -> Self:
        """:raises DeliveryError: if ``path`` does not exist."""
        try:
            schema = json.loads(gzip.decompress(path.read_bytes()))["schema"]
        except FileNotFoundError:
            raise DeliveryError(f"{path}: does not exist; make install installs it with the CDK CLI") from None
        return cls(
            {one["cloudFormationType"]: one for one in schema["resource"]["entities"]},
            {one["$id"]: one for one in schema["typeDefinition"]["entities"]},
        )

    def is_stateful(self, type: str) -> bool:
        """Whether a resource holds what a new one in its place would not have."""
        return type in ALSO_STATEFUL or bool(self._types.get(type, {}).get("isStateful"))

    def replacement(self, type: str, place: tuple[str, ...]) -> Replacement:
        """Whether a change at ``place``, a path of property names and list indices, replaces the resource.

        A custom resource decides for itself, so no change of its properties is said to, but for its ``ServiceToken``,
        which CloudFormation cannot change. Any change of a type or property that the specification does not know may.
        """
        if type.startswith("Custom::") or type == "AWS::CloudFormation::CustomResource":
            return Replacement.YES if place[:1] == ("ServiceToken",) else Replacement.NO
        if type not in self._types:
            return Replacement.MAYBE
        names = tuple(name for name in place if not name.isdigit())
        properties = self._types[type]["properties"]
        if names[:1] and names[0] not in properties:
            return Replacement.MAYBE
        verdict = Replacement.NO
        for depth, name in enumerate(names, start=1):
            if (type, ".".join(names[:depth])) in self.in_place:
                return Replacement.NO
            if name not in properties:
                break
            verdict = Replacement[properties[name].get("causesReplacement", "no").upper()]
            properties = self._properties(properties[name]["type"])
            if not any("causesReplacement" in one for one in properties.values()):
                break  # the type of its value is the same wherever it is used, and says nothing
        return verdict

    def properties_of(self, type: str) -> tuple[str, ...]:
        """Names of the properties that a type has, none for an unknown type."""
        return tuple(self._types.get(type, {}).get("properties", {}))

    def properties_at(self, type: str, place: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the properties below a place, none where it holds a plain value or does not exist."""
        properties = self._types.get(type, {}).get("properties", {})
        for name in place:
            if name not in properties:
                return ()
            properties = self._properties(properties[name]["type"])
        return tuple(properties)

    def knows(self, type: str, place: tuple[str, ...]) -> bool:
        """Whether the type has a property at ``place``."""
        properties = self._types.get(type, {}).get("properties", {})
        for name in place:
            if name not in properties:
                return False
            properties = self._properties(properties[name]["type"])
        return True

    def name_properties(self, type: str) -> tuple[str, ...]:
        """Properties that name the resource, so that no second one can exist next to it."""
        known = self._types.get(type)
        if not known:
            return ()
        named = {*known.get("primaryIdentifier", ()), f"{known['name']}Name", "Name"}
        return tuple(name for name in known["properties"] if name in named and self._is_text(known, name))

    @staticmethod
    def _is_text(known: dict[str, Any], name: str) -> bool:
        property = known["properties"][name]
        return bool(property["type"].get("type") == "string" and property.get("causesReplacement") == "yes")

    def _properties(self, type: dict[str, Any]) -> dict[str, Any]:
        """Properties of a nested type, through lists and maps; nothing for plain values."""
        while "element" in type:
            type = type["element"]
        reference = type.get("reference", {}).get("$ref")
        found: dict[str, Any] = self._definitions[reference]["properties"] if reference else {}
        return found
