"""The table of what a change of single properties does."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delivery.gate.findings import Verdict
from delivery.gate.values import Value, text_of

_TABLE = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True)
class Rule:
    """One line of the table; the table's head explains the words of ``when``."""

    verdict: Verdict
    types: tuple[str, ...]
    properties: tuple[str, ...]
    when: str
    safe: str | None
    why: str
    source: str

    def applies(self, property: str, before: Mapping[str, Value], after: Mapping[str, Value]) -> bool:
        """Whether the change of a property is one that the rule is about."""
        old, new = at(before, property), at(after, property)
        if old == new or (self.safe is not None and new == self.safe):
            return False
        match self.when:
            case "changed":
                return True
            case "gone":
                return new is None
            case "off":
                return old == "true"
            case "on":
                return new == "true"
            case "lower":
                return _number(new, 0) < _number(old, 0)
            case "shorter":
                return _number(new, float("inf")) < _number(old, float("inf"))
        return False


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Every line of the table."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return tuple(_rule(Verdict(verdict), line) for verdict, lines in table.items() for line in lines)


def rules_for(type: str) -> Iterator[Rule]:
    """The lines about a resource type."""
    return (rule for rule in rules() if type in rule.types)


def at(properties: Mapping[str, Value], property: str) -> Value | None:
    """The value at a place such as ``A.B``, or None."""
    value: Value | None = dict(properties)
    for name in property.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _rule(verdict: Verdict, line: Mapping[str, Any]) -> Rule:
    types = line["type"]
    return Rule(
        verdict=verdict,
        types=(types,) if isinstance(types, str) else tuple(types),
        properties=tuple(line.get("properties", ())),
        when=line.get("when", "changed"),
        safe=line.get("safe"),
        why=line["why"],
        source=line["source"],
    )


def _number(value: Value | None, nothing: float) -> float:
    try:
        return float(text_of(value)) if value is not None else nothing
    except ValueError:  # known only when it is deployed
        return nothing
