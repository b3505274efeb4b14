"""Consequences of a change: replaced resources, and references whose value changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from delivery.gate.changes import Change, Key, Place
from delivery.gate.specification import Replacement, Specification
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value

_NEW_WITH_EACH_CHANGE = {"AWS::EC2::LaunchTemplate": (".LatestVersionNumber»", ".DefaultVersionNumber»")}
"""Attributes whose value changes with any change of the resource."""


@dataclass(frozen=True)
class Replaced:
    """A replaced resource, and the reason.

    :param place: the property that cannot change in place; empty if the type itself changes.
    :param follows: the replaced resource that the property refers to, if that is the reason.
    """

    resource: Resource
    certainty: Replacement
    place: str
    follows: Resource | None = None


@dataclass(frozen=True)
class Reference:
    """A place among the properties of a resource, and its text, which refers to another resource."""

    resource: Resource
    place: Place
    text: str


References = dict[Key, list[Reference]]


def references_to(before: Side, after: Side) -> References:
    """References in resources that both sides have, by the resource that they refer to."""
    found: References = {}
    for resource in after.resources():
        if resource.key in before.by_key:
            for place, text in leaves(resource.properties):
                for target in after.targets(resource.stack, text):
                    found.setdefault(target, []).append(Reference(resource, place, text))
    return found


def replacements(
    changed: Iterable[Change], references: References, specification: Specification
) -> dict[Key, Replaced]:
    """Resources that are replaced by their own changes, or because they refer to a replaced resource."""
    found: dict[Key, Replaced] = {}
    for change in changed:
        resource = change.after
        if change.before.type != resource.type:
            found[resource.key] = Replaced(resource, Replacement.YES, "")
        for difference in change.differences:
            certainty = specification.replacement(resource.type, difference.place)
            if certainty > _certainty(found, resource.key):
                found[resource.key] = Replaced(resource, certainty, ".".join(difference.place))
    waiting = list(found)
    while waiting:
        cause = found[waiting.pop()]
        for one in references.get(cause.resource.key, ()):
            certainty = min(cause.certainty, specification.replacement(one.resource.type, one.place))
            if certainty > _certainty(found, one.resource.key):
                found[one.resource.key] = Replaced(one.resource, certainty, ".".join(one.place), cause.resource)
                waiting.append(one.resource.key)
    return found


def updates(
    changed: Iterable[Change], replaced: dict[Key, Replaced], references: References
) -> Iterator[tuple[Reference, Resource]]:
    """References whose text is unchanged but whose value changes, with the resource that they refer to."""
    for key, cause in replaced.items():
        for one in references.get(key, ()):
            if one.resource.key not in replaced:
                yield one, cause.resource
    for change in changed:
        ends = _NEW_WITH_EACH_CHANGE.get(change.after.type)
        for one in references.get(change.after.key, ()) if ends else ():
            if ends and one.text.endswith(ends) and change.after.key not in replaced:
                yield one, change.after


def _certainty(found: dict[Key, Replaced], key: Key) -> Replacement:
    return found[key].certainty if key in found else Replacement.NO


def leaves(value: Value, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text inside a value, with its place."""
    if isinstance(value, str):
        yield place, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from leaves(item, (*place, str(name)))
