"""Bodies of requests, read and checked as objects of a resource type."""

import json
from dataclasses import dataclass
from typing import Any

import yaml

from kubernetes_rehearsal.standin import protobuf, structural
from kubernetes_rehearsal.standin.defaults import set_defaults
from kubernetes_rehearsal.standin.errors import ApiError, Object, Problems, bad_request
from kubernetes_rehearsal.standin.fields import Fields
from kubernetes_rehearsal.standin.kinds import ResourceType
from kubernetes_rehearsal.standin.rules import check_built_in, check_metadata
from kubernetes_rehearsal.standin.schema import Definitions, Reader

_METADATA = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
_MOST_BYTES = 3 * 1024 * 1024
_MOST_STORED_BYTES = 1_572_864  # etcd's limit of a request


def parse(body: bytes) -> Any:
    """JSON, YAML or Kubernetes' protobuf.

    :raises ApiError: if it is none of them, or too large.
    """
    if len(body) > _MOST_BYTES:
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {_MOST_BYTES}")
    if protobuf.is_protobuf(body):
        return protobuf.decode(body)
    if not body:
        return {}
    try:
        return json.loads(body) if body[:1] in b"{[" else yaml.safe_load(body)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is not valid: {error}") from error


@dataclass(frozen=True)
class Typed:
    """Objects of one resource type: how they are read, checked, and split into fields."""

    known: Definitions
    type: ResourceType

    @property
    def schema(self) -> Object:
        """The whole object's schema."""
        if self.type.schema is None:
            return self.known.of_kind(self.type.group, self.type.version, self.type.kind)
        text = {"type": "string"}
        named = {"apiVersion": text, "kind": text, "metadata": _METADATA}
        return {**self.type.schema, "type": "object", "properties": {**self.type.schema.get("properties", {}), **named}}

    @property
    def fields(self) -> Fields:
        """Splits objects into fields."""
        return Fields(self.known, self.schema)

    def read(self, content: Any, *, strict: bool, defaults: bool = True) -> Object:
        """The object in stored form.

        :param strict: refuse unknown fields instead of dropping them.
        :param defaults: set defaults of omitted fields.
        :raises ApiError: if it is not an object of this type.
        """
        if not isinstance(content, dict):
            raise bad_request(f"the object provided is unrecognized (must be of kind {self.type.kind})")
        self._check_type(content)
        try:
            found, unknown = self._decode(content, defaults)
        except ApiError as error:
            about = f'{self.type.kind} in version "{self.type.version}" cannot be handled as a {self.type.kind}'
            raise ApiError(error.code, error.reason, f"{about}: {error.message}") from error
        if strict and unknown:
            raise bad_request(f"strict decoding error: {', '.join(unknown)}")
        found.setdefault("metadata", {})
        return found

    def check(self, found: Object, old: Object | None) -> None:
        """Check the object, and the change where it replaces an old one.

        :raises ApiError: 422 with everything that is wrong with it.
        """
        problems = Problems()
        if self.type.schema is None:
            check_built_in(found, old, self.type.namespaced, problems)
        else:
            check_metadata(found, old, self.type.namespaced, problems)
            structural.check(self.type.schema, found, "", problems, root=True)
            if not problems.causes:
                structural.check_rules(self.type.schema, found, old, "", problems)
        problems.raise_for(self.type.kind, self.type.group, found["metadata"].get("name", ""))
        if len(json.dumps(found)) > _MOST_STORED_BYTES:
            raise ApiError(500, "InternalError", "etcdserver: request is too large")

    def _check_type(self, content: Object) -> None:
        for name, expected in (("apiVersion", self.type.api_version), ("kind", self.type.kind)):
            if content.setdefault(name, expected) != expected:
                raise bad_request(
                    f"the {name} in the data ({content[name]}) does not match the expected {name} ({expected})"
                )

    def _decode(self, content: Object, defaults: bool) -> tuple[Object, list[str]]:
        fill = set_defaults if defaults else _nothing
        reader = Reader(self.known, fill)
        if self.type.schema is None:
            return reader.read(self.schema, content), reader.unknown
        found, unknown = structural.prune(self.type.schema, content)
        metadata = reader.read(
            {"properties": {"metadata": _METADATA}, "type": "object"}, {"metadata": content.get("metadata") or {}}
        )
        found["metadata"] = metadata["metadata"]
        if defaults:
            structural.fill(self.type.schema, found)
        return found, [*reader.unknown, *unknown]


def _nothing(definition: str, found: Object) -> None:
    """For objects that are read without changes."""
