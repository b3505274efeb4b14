"""Schemas of kinds, in one form for two sources: Kubernetes itself, and CustomResourceDefinitions."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .._arguments import ConfigurationError
from .names import quantity_problem

Check = Callable[[Any], str | None]


@dataclass(slots=True, eq=False)
class Schema:
    """The schema of a value.

    - ``types``: names of JSON types; None allows any.
    - ``properties``: schemas of named fields. ``others`` is the schema of all other fields; None allows no others.
    - ``nulls``: whether items and required fields may be null if their own schema allows null.
    - ``checks``: functions that return the mistake in a value of the right type, or None.
    - ``labels``: ``keys`` if the field's keys follow the rules for labels, ``values`` if its values do, too.
    - ``choices``: alternatives, as ``anyOf``, ``oneOf``, ``allOf`` and ``not`` of a CustomResourceDefinition.
    """

    types: frozenset[str] | None = None
    properties: dict[str, "Schema"] = field(default_factory=dict)
    others: "Schema | None" = None
    items: "Schema | None" = None
    nulls: bool = True
    required: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    labels: str | None = None
    choices: tuple[tuple[str, tuple["Schema", ...]], ...] = ()


ANYTHING = Schema()
ANYTHING.others = ANYTHING
ANYTHING.items = ANYTHING

_FOLDER = "kubernetes-json-schema/v{minor}.0-local/_definitions.json"
_LABELS = {
    ("ObjectMeta", "labels"): "values",
    ("ObjectMeta", "annotations"): "keys",
    ("LabelSelector", "matchLabels"): "values",
    ("PodSpec", "nodeSelector"): "values",
    ("ServiceSpec", "selector"): "values",
}
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_OR_SCHEMA = ("JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool")  # published without a type
_ENUMERATIONS = {  # the API server enforces these; its published schemas leave them out
    ("Container", "imagePullPolicy"): "Always IfNotPresent Never",
    ("ContainerPort", "protocol"): "TCP UDP SCTP",
    ("DaemonSetUpdateStrategy", "type"): "OnDelete RollingUpdate",
    ("DeploymentStrategy", "type"): "Recreate RollingUpdate",
    ("MutatingWebhook", "failurePolicy"): "Fail Ignore",
    ("MutatingWebhook", "sideEffects"): "None NoneOnDryRun",
    ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy"): "Delete Recycle Retain",
    ("PodSpec", "dnsPolicy"): "ClusterFirst ClusterFirstWithHostNet Default None",
    ("PodSpec", "restartPolicy"): "Always Never OnFailure",
    ("ServicePort", "protocol"): "TCP UDP SCTP",
    ("ServiceSpec", "type"): "ClusterIP ExternalName LoadBalancer NodePort",
    ("StatefulSetUpdateStrategy", "type"): "OnDelete RollingUpdate",
    ("StorageClass", "reclaimPolicy"): "Delete Retain",
    ("StorageClass", "volumeBindingMode"): "Immediate WaitForFirstConsumer",
    ("Taint", "effect"): "NoExecute NoSchedule PreferNoSchedule",
    ("Toleration", "effect"): "NoExecute NoSchedule PreferNoSchedule",
    ("TopologySpreadConstraint", "whenUnsatisfiable"): "DoNotSchedule ScheduleAnyway",
    ("ValidatingWebhook", "failurePolicy"): "Fail Ignore",
    ("ValidatingWebhook", "sideEffects"): "None NoneOnDryRun",
}


class CoreSchemas:
    """The built-in kinds of one Kubernetes minor. Each schema is parsed when it is first used.

    :param minor: such as ``1.35``.
    :raises ConfigurationError: for a minor whose schemas are not installed.
    """

    def __init__(self, minor: str) -> None:
        self.minor = minor
        self._raw = _definitions(minor)
        self._names = {
            (f"{kind['group']}/{kind['version']}".lstrip("/"), kind["kind"]): name
            for name, definition in self._raw.items()
            for kind in definition.get("x-kubernetes-group-version-kind", ())
            if "alpha" not in kind["version"]  # EKS serves none of these
        }
        self._compiled: dict[str, Schema] = {}

    @property
    def metadata(self) -> Schema:
        """The schema of every object's metadata."""
        return self._named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")

    def schema(self, api_version: str, kind: str) -> Schema | None:
        """The schema of a kind, or None if Kubernetes has no such kind."""
        name = self._names.get((api_version, kind))
        return self._named(name) if name else None

    def api_versions(self, kind: str) -> list[str]:
        """The other API versions that have a kind of this name."""
        return sorted(api_version for api_version, known in self._names if known == kind)

    def kinds(self, api_version: str) -> list[str]:
        """All kinds of a group and version."""
        return sorted(kind for known, kind in self._names if known == api_version)

    def _named(self, name: str) -> Schema:
        if name not in self._compiled:
            compiled = self._compiled[name] = Schema()  # known before it is filled: definitions refer to themselves
            self._fill(compiled, self._raw[name], name.rpartition(".")[2])
        return self._compiled[name]

    def _fill(self, schema: Schema, raw: Mapping[str, Any], owner: str) -> None:
        if owner == "Quantity":
            schema.checks = (quantity_problem,)
            return
        if owner in _OR_SCHEMA:
            within = self._named(f"{_EXTENSIONS}.JSONSchemaProps")
            schema.properties, schema.items = within.properties, within
            return
        types = raw.get("type", _union(raw))
        schema.types = frozenset([types] if isinstance(types, str) else types) if types else None
        schema.required = tuple(raw.get("required", ()))
        for name, part in raw.get("properties", {}).items():
            schema.properties[name] = self._of(part, owner, name)
        if "additionalProperties" in raw:
            schema.others = self._of(raw["additionalProperties"], owner, "")
        elif not schema.properties:
            schema.others = ANYTHING
        schema.items = self._of(raw["items"], owner, "") if "items" in raw else ANYTHING
        schema.nulls = "items" not in raw and not schema.required  # published as if null were allowed everywhere
        if raw.get("format") == "byte":
            schema.checks += (_base64,)

    def _of(self, raw: Mapping[str, Any], owner: str, name: str) -> Schema:
        if "$ref" in raw:
            return self._named(raw["$ref"].removeprefix("#/$defs/"))
        schema = Schema()
        self._fill(schema, raw, "")
        schema.labels = _LABELS.get((owner, name))
        if "enum" in raw and name not in ("apiVersion", "kind"):
            schema.checks += (_enumeration(raw["enum"]),)
        if (owner, name) in _ENUMERATIONS:
            schema.checks += (_enumeration(_ENUMERATIONS[owner, name].split()),)
        return schema


@cache
def core_schemas(minor: str) -> CoreSchemas:
    """The schemas of a minor, shared by all clusters of it."""
    return CoreSchemas(minor)


def custom_schema(raw: Mapping[str, Any], *, open: bool = False) -> Schema:
    """The schema of a custom resource, or of a part of it.

    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation

    :param raw: an ``openAPIV3Schema``.
    :param open: whether fields that it does not list are allowed, as within alternatives. Default: they are not.
    """
    schema = Schema(required=tuple(raw.get("required") or ()))
    types = ["integer", "string"] if raw.get("x-kubernetes-int-or-string") else [raw["type"]] if raw.get("type") else []
    schema.types = frozenset([*types, *(["null"] if raw.get("nullable") else [])]) if types else None
    properties = raw.get("properties") or {}
    schema.properties = {name: custom_schema(part or {}, open=open) for name, part in properties.items()}
    others = raw.get("additionalProperties")
    if isinstance(others, Mapping):
        schema.others = custom_schema(others, open=open)
    elif others or open or raw.get("x-kubernetes-preserve-unknown-fields") or not types:
        schema.others = ANYTHING
    if raw.get("x-kubernetes-embedded-resource"):
        schema.properties = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": ANYTHING, **schema.properties}
        schema.required = tuple({*schema.required, "apiVersion", "kind"})
    schema.items = custom_schema(raw["items"], open=open) if isinstance(raw.get("items"), Mapping) else ANYTHING
    schema.checks = tuple(_custom_checks(raw))
    schema.choices = tuple(_choices(raw))
    return schema


_TEXT = Schema(types=frozenset(["string"]))


def _choices(raw: Mapping[str, Any]) -> Iterable[tuple[str, tuple[Schema, ...]]]:
    for how in ("anyOf", "oneOf", "allOf"):
        if raw.get(how) and not (how == "anyOf" and raw.get("x-kubernetes-int-or-string")):
            yield how, tuple(custom_schema(part, open=True) for part in raw[how])
    if raw.get("not"):
        yield "not", (custom_schema(raw["not"], open=True),)


def _custom_checks(raw: Mapping[str, Any]) -> Iterable[Check]:
    if raw.get("enum"):
        yield _enumeration(raw["enum"])
    if raw.get("pattern"):
        yield from _pattern(raw["pattern"])
    if raw.get("format") == "byte":
        yield _base64
    yield from _bounds(raw, "minimum", "maximum", lambda value: value, "")
    yield from _bounds(raw, "minLength", "maxLength", len, " characters")
    yield from _bounds(raw, "minItems", "maxItems", len, " items")
    yield from _bounds(raw, "minProperties", "maxProperties", len, " fields")


def _bounds(raw: Mapping[str, Any], least: str, most: str, measure: Callable[[Any], Any], unit: str) -> Iterable[Check]:
    sized = {"minLength": str, "minItems": list, "minProperties": Mapping}.get(least, (int, float))
    low, high = (raw[name] if isinstance(raw.get(name), int | float) else None for name in (least, most))
    above, below = raw.get("exclusiveMinimum") is True, raw.get("exclusiveMaximum") is True

    def check(value: Any) -> str | None:
        if not isinstance(value, sized) or isinstance(value, bool):
            return None
        size = measure(value)
        if low is not None and (size < low or (above and size == low)):
            return f"must be {'above' if above else 'at least'} {low}{unit}, got {size}"
        if high is not None and (size > high or (below and size == high)):
            return f"must be {'below' if below else 'at most'} {high}{unit}, got {size}"
        return None

    if low is not None or high is not None:
        yield check


def _pattern(text: str) -> Iterable[Check]:
    try:
        pattern = re.compile(text)
    except re.error:
        return  # valid in Go but not in Python; the API server validates it

    def check(value: Any) -> str | None:
        if isinstance(value, str) and not pattern.search(value):
            return f"{value!r} must match {text}"
        return None

    yield check


def _enumeration(values: Iterable[Any]) -> Check:
    allowed = list(values)

    def check(value: Any) -> str | None:
        return None if value is None or value in allowed else f"{value!r} must be one of {', '.join(map(str, allowed))}"

    return check


def _base64(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return "must be base64"
    return None


def _union(raw: Mapping[str, Any]) -> list[str] | None:
    """The types in a ``oneOf`` of several types, which is how Kubernetes expresses int-or-string."""
    if "oneOf" not in raw:
        return None
    return [name for part in raw["oneOf"] for name in part["type"]]


def _definitions(minor: str) -> dict[str, Any]:
    package = find_spec("kubernetes_validate")  # only its schemas: importing the package takes longer than reading them
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / _FOLDER.format(minor=minor)
    if not file.exists():
        have = sorted(folder.name[1:-8] for folder in file.parents[1].glob("*-local"))
        raise ConfigurationError(f"kubernetes-validate has no schemas for Kubernetes {minor}; it has {', '.join(have)}")
    definitions: dict[str, Any] = json.loads(file.read_bytes())["$defs"]
    return definitions
