"""The differences between the templates of two sides."""

from collections.abc import Iterator
from dataclasses import dataclass

from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value

Key = tuple[str, str]
Place = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A changed value at its place among the properties; None if absent."""

    place: Place
    before: Value | None
    after: Value | None


@dataclass(frozen=True)
class Change:
    """A changed resource that both sides have."""

    before: Resource
    after: Resource
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Changes:
    """All differences.

    :param renamed: the former id, by the new key, of resources that differ only in their logical id.
    """

    added: tuple[Resource, ...]
    removed: tuple[Resource, ...]
    changed: tuple[Change, ...]
    renamed: dict[Key, Resource]


def compare(before: Side, after: Side) -> Changes:
    """Compare the stacks that both sides have."""
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
        renamed=_renamed(added, removed),
    )


def differences(before: Value | None, after: Value | None, place: Place = ()) -> Iterator[Difference]:
    """The innermost values that differ. Lists of different lengths differ as a whole."""
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
    """Added resources that match a removed one of the same type and properties."""
    left = list(removed)
    found: dict[Key, Resource] = {}
    for one in added:
        for old in left:
            if (old.stack, old.type, old.properties) == (one.stack, one.type, one.properties):
                found[one.key] = old
                left.remove(old)
                break
    return found
