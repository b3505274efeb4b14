"""The rules that judge a property by comparing its values."""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delivery.gate.addresses import is_within
from delivery.gate.changes import Place
from delivery.gate.findings import Verdict
from delivery.gate.structure import covers, pairs_at
from delivery.gate.values import Value, text_of

_TABLES = Path(__file__).with_name("rules")
_TRUE = frozenset({"true", "1", "on", "yes", "enabled"})
_FALSE = frozenset({"false", "0", "off", "no", "disabled", ""})


@dataclass(frozen=True)
class Rule:
    """One line of a table; ``rules/README.md`` explains the fields.

    :param key: path within the property, if its value is a map, a list of pairs or JSON text.
    :param default: the value that AWS uses if the property is absent.
    :param order: known values, the worst first.
    :param unless: a property and its value with which the rule does not apply.
    """

    verdict: Verdict
    types: tuple[str, ...]
    properties: tuple[str, ...]
    when: str
    why: str
    source: str
    key: Place = ()
    safe: str | None = None
    default: str | None = None
    order: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @property
    def stops(self) -> bool:
        return self.verdict in (Verdict.WIDENING, Verdict.DATA_LOSING, Verdict.FAILING)

    def place(self, property: str) -> Place:
        """The place of the compared value."""
        return (*property.split("."), *self.key)

    def applies(self, property: str, before: Mapping[str, Value], after: Mapping[str, Value]) -> bool:
        """Whether the rule matches the change of a property.

        :param before: properties in structured form.
        """
        if self.unless:
            ((_, value),) = pairs_at(None, dict(after), tuple(self.unless[0].split(".")))
            if value == self.unless[1]:
                return False
        pairs = list(pairs_at(dict(before), dict(after), self.place(property)))
        return any(self._is_worse(old, new) for old, new in pairs)

    def _is_worse(self, old: Value | None, new: Value | None) -> bool:
        old, new = (self.default if one is None else one for one in (old, new))
        if old == new or (self.safe is not None and new == self.safe):
            return False
        match self.when:
            case "changed":
                return True
            case "another":
                return old is not None
            case "gone":
                return new is None
            case "off":
                return _boolean(old) is not False and _boolean(new) is not True
            case "on":
                return _boolean(new) is not False and _boolean(old) is not True
            case "lower":
                return _is_lower(new, old, nothing=0)
            case "higher":
                return _is_lower(old, new, nothing=0)
            case "shorter":
                return _is_lower(new, old, nothing=float("inf"))
            case "longer":
                return _is_lower(old, new, nothing=float("inf"))
            case "older":
                return _is_older(new, old)
            case "below":
                return not _reaches(self.order, old, new)
            case "fewer":
                return not covers(_several(new), _several(old))
            case "wider":
                return not all(any(is_within(one, other) for other in _several(old)) for one in _several(new))
            case "more":
                return not covers(_several(old), _several(new))
        return False


@functools.cache
def rules() -> tuple[Rule, ...]:
    """All lines of the tables."""
    found: list[Rule] = []
    for path in sorted(_TABLES.glob("*.toml")):
        for line in tomllib.loads(path.read_text(encoding="utf-8"))["rule"]:
            found.append(_rule(Verdict(path.stem), line))
    return tuple(found)


@functools.cache
def rules_for(type: str) -> tuple[Rule, ...]:
    """The lines for a resource type."""
    return tuple(rule for rule in rules() if type in rule.types)


def rules_at(type: str, place: Place) -> Iterator[Rule]:
    """The lines that compare the value at a place, a path of names without positions in lists."""
    for rule in rules_for(type):
        places = (rule.place(name) for name in rule.properties)
        if any(place == one or (rule.when != "gone" and place[: len(one)] == one) for one in places):
            yield rule


def _rule(verdict: Verdict, line: Mapping[str, Any]) -> Rule:
    types = line["type"]
    return Rule(
        verdict=verdict,
        types=(types,) if isinstance(types, str) else tuple(types),
        properties=tuple(line.get("properties", ())),
        when=line.get("when", "changed"),
        why=line["why"],
        source=line["source"],
        key=tuple(line.get("key", ())),
        safe=line.get("safe"),
        default=line.get("default"),
        order=tuple(line.get("order", ())),
        unless=tuple(line.get("unless", ())),
    )


def _boolean(value: Value | None) -> bool | None:
    """Whether a value is true; None if it is known only at deployment."""
    word = "" if value is None else text_of(value).lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _is_lower(one: Value | None, other: Value | None, *, nothing: float) -> bool:
    """Whether a number is below another one. True if one of them is known only at deployment."""
    try:
        numbers = [float(text_of(value)) if value is not None else nothing for value in (one, other)]
    except ValueError:
        return True
    return numbers[0] < numbers[1]


def _is_older(one: Value | None, other: Value | None) -> bool:
    """Whether a version such as ``8.4.3`` or ``1.34.1-20260101`` is older than another one."""
    versions = [[int(part) for part in re.findall(r"\d+", text_of(value))] if value else [] for value in (one, other)]
    return bool(versions[0]) and versions[0] < versions[1]


def _reaches(order: tuple[str, ...], old: Value | None, new: Value | None) -> bool:
    """Whether both values are known and the new one is not worse."""
    words = [text_of(value) if value is not None else "" for value in (old, new)]
    return all(word in order for word in words) and order.index(words[1]) >= order.index(words[0])


def _several(value: Value | None) -> list[Any]:
    if isinstance(value, dict):
        return [{"name": name, "value": item} for name, item in value.items()]
    return value if isinstance(value, list) else [] if value is None else [value]
