"""Parses structured values, so that each setting in them has its own place.

JSON text is parsed. A list of ``Key`` and ``Value`` pairs, such as the attributes of a load balancer, becomes a map.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from delivery.gate.changes import Difference, Place
from delivery.gate.values import Value, scalar

_PAIR = frozenset({"Key", "Value"})


def structured(value: Value) -> Value:
    """The value with JSON text and lists of pairs as maps and lists."""
    if isinstance(value, str):
        return _parsed(value)
    if isinstance(value, dict):
        return {name: structured(item) for name, item in value.items()}
    if value and all(isinstance(item, dict) and item.keys() == _PAIR for item in value):
        return {str(item["Key"]): structured(item["Value"]) for item in value}
    return [structured(item) for item in value]


def leaves(before: Value | None, after: Value | None, place: Place = ()) -> Iterator[Difference]:
    """The innermost values that differ. A map that only one side has differs in each of its values.

    Lists of different lengths differ as a whole.
    """
    if before == after:
        return
    if isinstance(before, dict | None) and isinstance(after, dict | None) and (before or after):
        old, new = before or {}, after or {}
        for name in sorted(old.keys() | new.keys()):
            yield from leaves(old.get(name), new.get(name), (*place, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from leaves(one, other, (*place, str(index)))
    else:
        yield Difference(place, before, after)


def names_of(place: Place) -> Place:
    """A place without the positions in lists."""
    return tuple(name for name in place if not name.isdigit())


def pairs_at(before: Value | None, after: Value | None, place: Place) -> Iterator[tuple[Value | None, Value | None]]:
    """The values at a place on both sides, one pair for each element of the lists in the path.

    An added element of a list is compared with the last element of the former list.
    """
    if (isinstance(before, list) or isinstance(after, list)) and place:
        olds, news = _elements(before), _elements(after)
        for index, new in enumerate(news):
            yield from pairs_at(olds[min(index, len(olds) - 1)] if olds else None, new, place)
        return
    if not place:
        yield before, after
        return
    old = before.get(place[0]) if isinstance(before, dict) else None
    new = after.get(place[0]) if isinstance(after, dict) else None
    yield from pairs_at(old, new, place[1:])


def without(value: dict[str, Any], places: Iterable[Place]) -> dict[str, Any]:
    """The value without what is at these places, in each element of the lists on the way."""
    found = value
    for place in places:
        found = _without(found, place)
    return found


def _without(value: Any, place: Place) -> Any:
    if isinstance(value, list):
        return [_without(item, place) for item in value]
    if not isinstance(value, dict) or place[0] not in value:
        return value
    rest = {name: item for name, item in value.items() if name != place[0]}
    return rest if len(place) == 1 else {**value, place[0]: _without(value[place[0]], place[1:])}


def covers(wide: Value | None, narrow: Value | None) -> bool:
    """Whether a value includes another one: the same keys, and lists with at least its elements.

    For an excluding key, such as ``NotEquals``, the comparison is reversed.
    """
    if isinstance(wide, dict) and isinstance(narrow, dict):
        return wide.keys() == narrow.keys() and all(
            covers(narrow[key], wide[key]) if key.startswith("Not") else covers(wide[key], narrow[key]) for key in wide
        )
    if isinstance(wide, list) and isinstance(narrow, list):
        return all(any(covers(one, other) for one in wide) for other in narrow)
    return wide == narrow


def _elements(value: Value | None) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _parsed(text: str) -> Value:
    if text[:1] not in ("{", "["):
        return text
    try:
        return structured(_canonical(json.loads(text)))
    except ValueError:
        return text


def _canonical(value: Any) -> Value:
    if isinstance(value, dict):
        return {str(name): _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return scalar(value)
