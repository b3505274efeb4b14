"""Explains the mistakes of a settings file with key, value and fix, in TOML's terms."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from config.section import variants_of

_Place = tuple[int | str, ...]
_MOST_HEADINGS = 3
"""A key that more tables have, such as ``name``, does not show where it belongs."""


def mistakes_of(problems: list[ErrorDetails], model: type[BaseModel]) -> list[str]:
    """One line a mistake. A list with a wrong entry is also 'too short' to pydantic; the entry is enough."""
    places = [problem["loc"] for problem in problems]
    return [
        line
        for problem in problems
        for line in _explain(problem, model)
        if problem["type"] != "too_short" or not any(_is_inside(place, problem["loc"]) for place in places)
    ]


def _is_inside(place: _Place, other: _Place) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _explain(problem: ErrorDetails, model: type[BaseModel]) -> list[str]:
    """One line for each problem at one place."""
    parts, _, _ = _walk(problem["loc"], model)
    place = ".".join(part for part in parts if part != "[key]") or "whole file"
    if problem["type"] == "value_error":
        return [f"{place}: {text}" for text in problem["ctx"]["error"].texts]
    return [_line(problem, place, parts, model)]


_EXAMPLES = (
    "ana@example.com",
    "ami-0123456789abcdef0",
    "arn:aws:codeconnections:eu-west-1:111111111111:connection/01234567-89ab-cdef-0123-456789abcdef",
    "arn:aws:iam::111111111111:role/Admins",
    "arn:aws:kms:eu-west-1:111111111111:key/01234567-89ab-cdef-0123-456789abcdef",
    "arn:aws:s3:::my-bucket",
    "arn:aws:secretsmanager:eu-west-1:111111111111:secret:name-AbCdEf",
    "arn:aws:sns:eu-west-1:111111111111:alarms",
    "eu-west-1",
    "eu-west-1a",
    "https://idp.example.com/metadata",
    "ml.example.com",
)
"""Values of account files, of which each matches the patterns of its own keys only."""


def _line(problem: ErrorDetails, place: str, parts: list[str], model: type[BaseModel]) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{place}: required; add it"
        case "extra_forbidden":
            return f"{place}: unknown key; {_advice(parts[-1], problem['loc'][:-1], model)}"
        case "string_pattern_mismatch":
            what = "the name must match" if problem["loc"][-1] == "[key]" else "must match"
            return f"{place}: {what} {context['pattern']}, got {problem['input']!r}{_example(context['pattern'])}"
        case "too_short" | "too_long":
            bound, limit = ("at least", "min_length") if problem["type"] == "too_short" else ("at most", "max_length")
            return f"{place}: needs {bound} {context[limit]} entries, got {context['actual_length']}"
        case "bool_type":
            return f"{place}: must be true or false without quotes, got {problem['input']!r}"
        case "int_type" | "float_type":
            number = "a whole number" if problem["type"] == "int_type" else "a number"
            return f"{place}: must be {number} without quotes, got {problem['input']!r}"
        case "string_type":
            return f"{place}: must be text in quotes, got {problem['input']!r}"
        case "tuple_type":
            return f'{place}: must be a list such as ["one", "two"], got {problem["input"]!r}'
        case "dict_type" | "model_type":
            return f"{place}: must be a table, [{place}], got {problem['input']!r}"
        case "union_tag_not_found":
            return f"{place}.{_unquoted(context['discriminator'])}: required; add it"
        case "union_tag_invalid":
            discriminator, tags = _unquoted(context["discriminator"]), context["expected_tags"]
            return f"{place}.{discriminator}: must be one of {tags}, got {context['tag']!r}"
    message = problem["msg"].removeprefix("Input ").removesuffix(" instance")
    return f"{place}: {message[:1].lower()}{message[1:]}, got {problem['input']!r}"


def _example(pattern: str) -> str:
    """A value that matches, if only one of the examples does, so that it shows what the pattern is for."""
    matching = [example for example in _EXAMPLES if re.search(pattern, example)]
    return f"; write it like {matching[0]!r}" if len(matching) == 1 else ""


def _unquoted(name: str) -> str:
    return name.strip("'")


def _advice(key: str, place: _Place, root: type[BaseModel]) -> str:
    """What to do with a key that the table at ``place`` does not have."""
    _, model, siblings = _walk(place, root)
    if any(key in each.model_fields for each in siblings):
        return "a table of this kind does not have it; remove it"
    headings = list(dict.fromkeys(_headings_of(key, root)))
    if 0 < len(headings) <= _MOST_HEADINGS:
        return f"it belongs {' or '.join(headings)}"
    near = difflib.get_close_matches(key, model.model_fields if model else (), n=1)
    return f"did you mean {near[0]!r}?" if near else "remove it"


def _headings_of(key: str, model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Where a file may have ``key``."""
    for name, field in model.model_fields.items():
        variants, many = variants_of(field.annotation)
        below = f"{path}.{name}".lstrip(".")
        if name == key and variants:
            yield f"into [{below}.<name>]" if many is dict else f"into [{below}]"
        elif name == key:
            yield f"into [{path}]" if path else "at the top of the file, above the first heading"
        for variant in variants.values():
            yield from _headings_of(key, variant, f"{below}.<name>" if many is dict else below)


def _walk(
    place: _Place, root: type[BaseModel]
) -> tuple[list[str], type[BaseModel] | None, Collection[type[BaseModel]]]:
    """A place as the file has it, the model of the table there, and all models that the table could have.

    pydantic adds to its places the tags of unions, which no file has.
    """
    parts: list[str] = []
    model: type[BaseModel] | None = root
    siblings: Collection[type[BaseModel]] = ()
    rest = list(place)
    while rest:
        part = rest.pop(0)
        parts.append(str(part))
        variants: Mapping[str, type[BaseModel]] = {}
        many = None
        if model and part in model.model_fields:
            variants, many = variants_of(model.model_fields[str(part)].annotation)
        model, siblings = None, variants.values()
        if variants and many and rest:
            parts.append(str(rest.pop(0)))
        if "" in variants:
            model = variants[""]
        elif rest and rest[0] in variants:
            model = variants[str(rest.pop(0))]
    return parts, model, siblings
