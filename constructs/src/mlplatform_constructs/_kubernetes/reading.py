"""Parses the bodies of a chart into objects with a key and a wave, and reports all mistakes at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .contents import SYSTEM_NAMESPACES, ClusterContents
from .definitions import Definition
from .gates import WEBHOOKS, guards
from .kinds import GroupKind, Kind, kind_of
from .names import name_problem
from .object_rules import object_problems
from .objects import CRD, Key, KubernetesObject, group_of, part, unusable
from .schemas import Schema
from .tokens import is_token
from .validation import problems
from .waves import WAVE_ANNOTATION, Wave, wave_named, wave_of_builtin

Body = Mapping[str, Any]


@dataclass(eq=False)
class ObjectSet:
    """Objects that are applied together.

    - ``namespaces``, ``definitions``: created by this set.
    - ``used_namespaces``, ``used_kinds``: required from other sets.
    """

    objects: list[KubernetesObject] = field(default_factory=list)
    namespaces: set[str] = field(default_factory=set)
    definitions: dict[GroupKind, Definition] = field(default_factory=dict)
    used_namespaces: set[str] = field(default_factory=set)
    used_kinds: set[GroupKind] = field(default_factory=set)


def read(bodies: Sequence[Any], contents: ClusterContents) -> tuple[ObjectSet, list[str]]:
    """Parse objects in order, without a change to ``contents``.

    :return: the objects, and all their mistakes.
    """
    found = [problem for body in bodies if (problem := unusable(body))]
    usable: list[Body] = [body for body in bodies if not unusable(body)]
    reader = _Reader(contents, usable)
    found += [problem for kind in reader.set.definitions.values() if (problem := contents.kind_problem(kind))]
    for body in usable:
        found += reader.add(body)
    return reader.set, found


class _Reader:
    """Parses the objects of one set. A definition or namespace may follow the objects that use it."""

    def __init__(self, contents: ClusterContents, bodies: Sequence[Body]) -> None:
        self._contents = contents
        self._found: dict[int, list[str]] = {}
        sound = [body for body in bodies if body["kind"] in (CRD, *WEBHOOKS) and self._is_sound(body)]
        definitions = [Definition.read(body) for body in sound if body["kind"] == CRD]
        self.set = ObjectSet(
            namespaces={str(body["metadata"]["name"]) for body in bodies if body["kind"] == "Namespace"},
            definitions={(one.group, one.kind): one for one in definitions},
        )
        self._guarded_groups = guards(sound)
        self._seen: set[Key] = set()
        self._kind = cache(lambda api_version, kind: kind_of(api_version, kind, self.set.definitions, contents))

    def _is_sound(self, body: Body) -> bool:
        """Whether a definition or webhook is valid, so that other objects can depend on it."""
        schema = self._contents.core.schema(body["apiVersion"], body["kind"])
        if schema is None or self._problems(body, schema):
            return False
        return body["kind"] != CRD or not list(_undefining(body))

    def _problems(self, body: Body, schema: Schema) -> list[str]:
        """What the schema refuses. An object is compared once, although definitions and webhooks are read twice."""
        if id(body) not in self._found:
            self._found[id(body)] = list(problems(body, schema))
        return self._found[id(body)]

    def add(self, body: Body) -> list[str]:
        """Add an object to the set, unless its kind is unknown.

        :return: its mistakes.
        """
        group, name = group_of(body["apiVersion"]), body["kind"]
        namespace = str(body["metadata"].get("namespace") or "")
        try:
            kind: Kind = self._kind(body["apiVersion"], name)
        except ValueError as error:
            return [f"{Key(group, name, namespace, body['metadata']['name'])}: {error}"]
        key = Key(group, name, "" if kind.namespaced is False else namespace, body["metadata"]["name"])
        found, wave = [*self._problems(body, kind.schema)], Wave.CONFIGURATION
        if not found:  # each field is what it should be
            found += _undefining(body) if name == CRD else _mismatches(body, group)
            if kind.definition is None:
                found += object_problems(body)
            wave = self._wave(body, kind)
        found += self._identity_problems(key, kind)
        self.set.objects.append(KubernetesObject(body, key, wave))
        self._seen.add(key)
        if key.namespace and key.namespace not in self.set.namespaces:
            self.set.used_namespaces.add(key.namespace)
        if kind.definition and kind.definition not in self.set.definitions:
            self.set.used_kinds.add(kind.definition)
        return [f"{key}: {problem}" for problem in found]

    def _identity_problems(self, key: Key, kind: Kind) -> Iterator[str]:
        if problem := name_problem(key.group, key.kind, key.name):
            yield f"metadata.name: {problem}"
        if key in self._seen:
            yield "is listed twice; keep one"
        elif key in self._contents.owners:
            yield f"already created by {self._contents.owners[key]}; keep one"
        if kind.namespaced and not key.namespace:
            yield "metadata.namespace: required; set 'default' explicitly for the default namespace"
        known = key.namespace in self.set.namespaces or key.namespace in self._contents.namespaces
        if key.namespace and not known and key.namespace not in SYSTEM_NAMESPACES and not is_token(key.namespace):
            yield (
                f"metadata.namespace: nothing earlier creates {key.namespace!r}; add the Namespace to this set or an "
                "earlier one, or declare with ProvidedObjects what creates it"
            )

    def _wave(self, body: Body, kind: Kind) -> Wave:
        if named := part(body, "metadata", "annotations").get(WAVE_ANNOTATION):
            return wave_named(named) or Wave.CONFIGURATION
        if kind.definition is None:
            return wave_of_builtin(body["kind"])
        guarded = kind.definition in self.set.definitions or self._guarded_groups & {kind.definition[0], "*"}
        return Wave.GUARDED if guarded else Wave.CONFIGURATION


def _undefining(body: Body) -> Iterator[str]:
    """Why a CustomResourceDefinition does not define its kind."""
    try:
        definition = Definition.read(body)
    except ValueError as error:
        yield str(error)
        return
    wanted = f"{definition.plural}.{definition.group}"
    if body["metadata"]["name"] != wanted:
        yield f"metadata.name: must be {wanted!r}, from the plural and the group that it defines"


def _mismatches(body: Body, group: str) -> Iterator[str]:
    """Mistakes that span several fields."""
    wave = part(body, "metadata", "annotations").get(WAVE_ANNOTATION)
    if wave is not None and wave_named(wave) is None:
        waves = ", ".join(wave.name.lower() for wave in Wave)
        yield f'metadata.annotations["{WAVE_ANNOTATION}"]: {wave!r} is not a wave; use one of {waves}'
    if group == "apps":
        labels = part(body, "spec", "template", "metadata", "labels")
        wanted = part(body, "spec", "selector", "matchLabels")
        missing = {name: value for name, value in wanted.items() if labels.get(name) != value}
        if missing:
            yield f"spec.selector.matchLabels: {missing} must be among spec.template.metadata.labels"
