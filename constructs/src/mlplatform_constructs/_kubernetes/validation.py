"""Validates values against schemas, and suggests the field or value that was probably meant."""

import difflib
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from .names import key_problem, label_problems
from .schemas import Schema
from .tokens import is_token

Place = tuple[Any, ...] | None  # (place of the parent, field or index), or None at the top
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
_ARTICLES = {"integer": "an integer", "object": "a mapping", "array": "a list", "string": "text"}


def problems(value: Any, schema: Schema) -> Iterator[str]:
    """Each mistake with its path: ``spec.replicas: must be an integer, got '2'``. A token is valid anywhere."""
    found: list[tuple[Place, str]] = []
    _compare(value, schema, None, found)
    for place, problem in found:
        yield f"{spelled(place)}: {problem}" if place else problem


def spelled(place: Place) -> str:
    """A path in the usual notation: ``spec.containers[0].name``, ``metadata.labels["a/b"]``."""
    text = ""
    while place:
        place, step = place
        if isinstance(step, int):
            text = f"[{step}]{text}"
        elif isinstance(step, str) and step.replace("_", "a").replace("-", "a").isalnum():
            text = f".{step}{text}"
        else:
            text = f'["{step}"]{text}'
    return text.removeprefix(".")


def _compare(value: Any, schema: Schema, at: Place, found: list[tuple[Place, str]]) -> None:
    if is_token(value):
        if isinstance(value, float) and not _may_be_number(schema):
            found.append((at, _mistyped(value, schema.types or frozenset())))
        return
    type_ = "null" if value is None else _TYPES.get(type(value)) or _slow_type(value)
    types = schema.types
    if type_ is None or (type_ == "number" and not isfinite(value)):
        found.append((at, f"must be plain JSON, got {value!r:.60}; encode tokens as strings, numbers or lists"))
        return
    if types is not None and type_ not in types and not (type_ == "integer" and "number" in types):
        found.append((at, _mistyped(value, types)))
        return
    for check in schema.checks:
        if problem := check(value):
            found.append((at, problem))
    if type_ == "object":
        _compare_fields(value, schema, at, found)
    elif type_ == "array" and schema.items is not None:
        for index, item in enumerate(value):
            if item is None and not schema.nulls:
                found.append(((at, index), "must not be null"))
            _compare(item, schema.items, (at, index), found)
    for how, alternatives in schema.choices:
        if problem := _undecided(value, how, alternatives):
            found.append((at, problem))


def _compare_fields(value: Mapping[str, Any], schema: Schema, at: Place, found: list[tuple[Place, str]]) -> None:
    for name, item in value.items():
        part = schema.properties.get(name) or schema.others
        if not isinstance(name, str):
            found.append((at, f"field names must be strings, got {name!r:.60}"))
            return
        if part is not None:
            _compare(item, part, (at, name), found)
        elif not is_token(name):
            found.append(((at, name), _unknown(name, schema)))
    for name in schema.required:
        if name not in value or (value[name] is None and not schema.nulls):
            found.append(((at, name), "required"))
    if schema.labels == "values":
        found.extend(((at, key), problem) for key, problem in label_problems(value))
    elif schema.labels == "keys":
        found.extend(((at, key), problem) for key in value if (problem := key_problem(key)))


def _unknown(name: str, schema: Schema) -> str:
    near = difflib.get_close_matches(name, schema.properties, n=1)
    return f"unknown field; did you mean {near[0]!r}?" if near else "unknown field; remove it"


def _may_be_number(schema: Schema) -> bool:
    return schema.types is None or not schema.types.isdisjoint(("integer", "number"))


def _mistyped(value: Any, types: frozenset[str]) -> str:
    wanted = sorted(_ARTICLES.get(name, f"a {name}") for name in types - {"null"})
    return f"must be {' or '.join(wanted)}, got {value!r:.60}"


def _undecided(value: Any, how: str, alternatives: tuple[Schema, ...]) -> str | None:
    failures = [next(problems(value, alternative), None) for alternative in alternatives]
    passed = failures.count(None)
    if how == "not":
        return "matches a schema that its definition forbids (not)" if passed else None
    if how == "allOf":
        return next((failure for failure in failures if failure), None)
    if passed == 0:
        return f"matches none of the alternatives in its definition: {'; '.join(map(str, failures))}"
    if how == "oneOf" and passed > 1:
        return f"matches {passed} alternatives in its definition; exactly one is allowed (oneOf)"
    return None


def _slow_type(value: Any) -> str | None:
    """The JSON type of a subclass, or of another sequence or mapping; None if there is none."""
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list | tuple):
        return "array"
    return next((name for python, name in _TYPES.items() if isinstance(value, python)), None)
