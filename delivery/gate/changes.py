"""What differs between the templates of two sides, and which resources are replaced by it."""

from collections.abc import Iterator
from dataclasses import dataclass

from delivery.gate.specification import Replacement, Specification
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value

Key = tuple[str, str]
Place = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A value that is not the same, at its place among the properties; None where there is none."""

    place: Place
    before: Value | None
    after: Value | None


@dataclass(frozen=True)
class Change:
    """A resource that both sides have, and that is not the same."""

    before: Resource
    after: Resource
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Replaced:
    """A resource in whose place a new one is made, and why.

    :param place: the property that cannot change in place; empty where the type itself changes.
    :param follows: the replaced resource that the property refers to, where that is why.
    """

    resource: Resource
    certainty: Replacement
    place: str
    follows: Resource | None = None


@dataclass(frozen=True)
class Changes:
    """Everything that differs.

    :param renamed: id before, by key after, of resources that are the same but for their logical id.
    """

    added: tuple[Resource, ...]
    removed: tuple[Resource, ...]
    changed: tuple[Change, ...]
    replaced: dict[Key, Replaced]
    renamed: dict[Key, Resource]


def compare(before: Side, after: Side, specification: Specification) -> Changes:
    """Compare the stacks that both sides have. A stack that only one has is not compared."""
    added: list[Resource] = []
    removed: list[Resource] = []
    changed: list[Change] = []
    for name in before.templates.keys() & after.templates.keys():
        old, new = before.templates[name].resources, after.templates[name].resources
        added += [new[id] for id in new.keys() - old.keys()]
        removed += [old[id] for id in old.keys() - new.keys()]
        for id in old.keys() & new.keys():
            found = tuple(differences(old[id].properties, new[id].properties))
            policies = (old[id].deletion, old[id].on_replacement) != (new[id].deletion, new[id].on_replacement)
            if found or policies or old[id].type != new[id].type:
                changed.append(Change(old[id], new[id], found))
    return Changes(
        added=tuple(sorted(added, key=lambda one: one.key)),
        removed=tuple(sorted(removed, key=lambda one: one.key)),
        changed=tuple(sorted(changed, key=lambda one: one.after.key)),
        replaced=_replacements(changed, before, after, specification),
        renamed=_renamed(added, removed),
    )


def differences(before: Value | None, after: Value | None, place: Place = ()) -> Iterator[Difference]:
    """The innermost values that differ. Lists of unlike length differ as a whole."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), (*place, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, (*place, str(index)))
    else:
        yield Difference(place, before, after)


def _renamed(added: list[Resource], removed: list[Resource]) -> dict[Key, Resource]:
    """Added resources that a removed one of the same type and properties stands for."""
    left = list(removed)
    found: dict[Key, Resource] = {}
    for one in added:
        for old in left:
            if (old.stack, old.type, old.properties) == (one.stack, one.type, one.properties):
                found[one.key] = old
                left.remove(old)
                break
    return found


def _replacements(
    changed: list[Change], before: Side, after: Side, specification: Specification
) -> dict[Key, Replaced]:
    """Resources that their own changes replace, and those that follow because they refer to one of these."""
    found: dict[Key, Replaced] = {}
    for change in changed:
        resource = change.after
        if change.before.type != resource.type:
            found[resource.key] = Replaced(resource, Replacement.YES, "")
        for difference in change.differences:
            certainty = specification.replacement(resource.type, difference.place)
            if certainty > _certainty(found, resource.key):
                found[resource.key] = Replaced(resource, certainty, ".".join(difference.place))
    dependents = _dependents(before, after)
    waiting = list(found)
    while waiting:
        cause = found[waiting.pop()]
        for resource, place in dependents.get(cause.resource.key, ()):
            certainty = min(cause.certainty, specification.replacement(resource.type, place))
            if certainty > _certainty(found, resource.key):
                found[resource.key] = Replaced(resource, certainty, ".".join(place), cause.resource)
                waiting.append(resource.key)
    return found


def _certainty(found: dict[Key, Replaced], key: Key) -> Replacement:
    return found[key].certainty if key in found else Replacement.NO


def _dependents(before: Side, after: Side) -> dict[Key, list[tuple[Resource, Place]]]:
    """Places among the properties of resources that stay, by the resource that they refer to."""
    found: dict[Key, list[tuple[Resource, Place]]] = {}
    for resource in after.resources():
        if resource.key in before.by_key:
            for place, value in _leaves(resource.properties):
                for target in after.targets(resource.stack, value):
                    found.setdefault(target, []).append((resource, place))
    return found


def _leaves(value: Value, place: Place = ()) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from _leaves(item, (*place, str(name)))
