"""Label and field selectors, of queries and of objects."""

import re
from collections.abc import Callable
from typing import Any

from kubernetes_rehearsal.standin.errors import Object, bad_request

_SET = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<operator>==?|!=)\s*(?P<value>\S*)")
_EXISTS = re.compile(r"(?P<absent>!?)\s*(?P<key>[^=!\s(),]+)")

Matcher = Callable[[Object], bool]


def label_matcher(selector: str) -> Matcher:
    """Whether an object's labels match a selector in query form, such as ``app=x,tier in (a,b),!old``."""
    checks = [_label_check(part.strip()) for part in re.split(r",(?![^(]*\))", selector) if part.strip()]
    return lambda found: all(check(found["metadata"].get("labels") or {}) for check in checks)


def field_matcher(selector: str) -> Matcher:
    """Whether an object's fields match a selector in query form, such as ``metadata.name=x``."""
    checks = []
    for part in filter(None, selector.split(",")):
        found = _EQUAL.fullmatch(part)
        if not found:
            raise bad_request(f"invalid field selector {part!r}")
        checks.append((found["key"].split("."), found["value"], found["operator"] != "!="))
    return lambda found: all((str(_at(found, path)) == value) == wanted for path, value, wanted in checks)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector object matches labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_requirement(one, labels) for one in selector.get("matchExpressions", []))


def _requirement(requirement: Object, labels: dict[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values", [])
    match requirement["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
    return key not in labels


def _label_check(part: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.fullmatch(part):
        values = [value.strip() for value in found["values"].split(",")]
        wanted = found["operator"] == "in"
        key = found["key"]
        return lambda labels: (labels.get(key) in values) == wanted
    if found := _EQUAL.fullmatch(part):
        key, value, wanted = found["key"], found["value"], found["operator"] != "!="
        return lambda labels: (labels.get(key) == value) == wanted
    if found := _EXISTS.fullmatch(part):
        key, wanted = found["key"], not found["absent"]
        return lambda labels: (key in labels) == wanted
    raise bad_request(f"unable to parse requirement: {part}")


def _at(found: Any, path: list[str]) -> Any:
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return "" if found is None else found
