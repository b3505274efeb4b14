"""Validation rules in CEL: the language and Kubernetes' own functions, as far as definitions use them.

https://kubernetes.io/docs/reference/using-api/cel/
"""

import functools
import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import cel
from cel.stdlib import STDLIB_FUNCTIONS

from kubernetes_rehearsal.standin.errors import Object
from kubernetes_rehearsal.standin.formats import quantity

_OPTIONAL = re.compile(r"\.\?|\[\?|\boptional\.")  # optional values, which the evaluator does not have
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_CHAIN = re.compile(r"\b(?:self|oldSelf)((?:\.[A-Za-z_]\w*\b(?!\s*\())+)")
_BOUND = re.compile(r"(?:\.(?:all|exists|exists_one|existsOne|map|filter)|\bcel\.bind)\(\s*(\w+)\s*,(?:\s*(\w+)\s*,)?")
_ALWAYS_THERE = ("apiVersion", "kind", "metadata")  # at the root, regardless of the schema
_KNOWN_NAMES = {
    "self", "oldSelf", "bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint",
}  # fmt: skip
_RESERVED = {
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
}  # fmt: skip
_NATIVE = {
    "size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "bytes", "bool", "type",
    "dyn", "duration", "timestamp", "has", "all", "exists", "exists_one", "map", "filter", "getFullYear", "getMonth",
    "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes", "getSeconds",
    "getMilliseconds",
}  # fmt: skip


class RuleError(Exception):
    """A rule cannot be compiled or fails while it is evaluated."""


def compile_rule(rule: str) -> str | None:
    """What is wrong with the text of a rule, or None."""
    if _OPTIONAL.search(rule):
        return None
    try:
        program = cel.compile(rule)
    except ValueError as error:
        return str(error).partition("\n")[0]
    for name in program.functions():
        if not _is_operator(name) and name not in _NATIVE and name not in _functions():
            return f"undeclared reference to '{name}'"
    bound = {name for names in _BOUND.findall(_QUOTED.sub("''", rule)) for name in names}
    for name in program.variables():
        if name not in _KNOWN_NAMES and name not in bound:
            return f"undeclared reference to '{name}'"
    return None


def undefined_field(rule: str, schema: Object) -> str | None:
    """The first field that a rule reads from ``self`` or ``oldSelf`` and the schema does not have, or None."""
    for chain in _CHAIN.findall(_QUOTED.sub("''", rule)):
        below = schema
        if chain.split(".")[1] in _ALWAYS_THERE:
            continue
        for name in chain.split(".")[1:]:
            if below.get("type") != "object" or not below.get("properties"):
                if below.get("type") == "object" and not _is_open(below):
                    return f"undefined field '{name}'"
                break
            names = {escape(key): key for key in below["properties"]}
            if name not in names:
                return None if _is_open(below) else f"undefined field '{name}'"
            below = below["properties"][names[name]]
    return None


def _is_open(schema: Object) -> bool:
    return bool(
        schema.get("additionalProperties")
        or schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("x-kubernetes-embedded-resource")
    )


def evaluate(rule: str, variables: Object) -> Any:
    """The value of a rule.

    :raises RuleError: if the evaluation fails, for example on an absent field.
    """
    if _OPTIONAL.search(rule):
        return True
    context = cel.Context()
    for name, value in variables.items():
        context.add_variable(name, value)
    for name, function in _functions().items():
        context.add_function(name, function)
    try:
        return cel.compile(rule).execute(context)
    except (KeyError, RuntimeError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise RuleError(str(error).partition("\n")[0]) from error


def mentions_old_value(rule: str) -> bool:
    """Whether a rule is about a change: such rules count only where there is an old value."""
    return "oldSelf" in cel.compile(rule).variables() if not _OPTIONAL.search(rule) else "oldSelf" in rule


def value_for(schema: Object, value: Any) -> Any:
    """A value with its fields named as rules name them."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = schema.get("additionalProperties")
        return {
            (escape(key) if key in properties else key): value_for(
                properties.get(key) or (extra if isinstance(extra, dict) else {}), item
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [value_for(schema.get("items") or {}, item) for item in value]
    return value


def escape(name: str) -> str:
    """A field's name as an identifier of the language."""
    if name in _RESERVED:
        return f"__{name}__"
    for text, code in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(text, code)
    return name


def _is_operator(name: str) -> bool:
    return not name.isidentifier() or name.startswith("_") or name.startswith("@")


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    return {
        **STDLIB_FUNCTIONS,
        "find": lambda text, pattern: found[0] if (found := re.search(pattern, text)) else "",
        "findAll": lambda text, pattern: [found[0] for found in re.finditer(pattern, text)],
        "isSorted": lambda items: items == sorted(items),
        "isURL": _is_url,
        "url": lambda text: text,
        "getScheme": lambda url: urllib.parse.urlsplit(url).scheme,
        "getHost": lambda url: urllib.parse.urlsplit(url).netloc,
        "getHostname": lambda url: urllib.parse.urlsplit(url).hostname or "",
        "getPort": lambda url: str(urllib.parse.urlsplit(url).port or ""),
        "getEscapedPath": lambda url: urllib.parse.urlsplit(url).path,
        "isIP": lambda text: _parses(ipaddress.ip_address, text),
        "isCIDR": lambda text: "/" in text and _parses(lambda one: ipaddress.ip_network(one, strict=False), text),
        "isQuantity": lambda text: quantity(text) is not None,
        "quantity": _quantity,
        "isLessThan": lambda one, other: _number(one) < _number(other),
        "isGreaterThan": lambda one, other: _number(one) > _number(other),
        "compareTo": lambda one, other: (_number(one) > _number(other)) - (_number(one) < _number(other)),
        "asApproximateFloat": lambda one: float(_number(one)),
        "asInteger": lambda one: int(_number(one)),
        "isInteger": lambda one: _number(one) % 1 == 0,
        "sign": lambda one: (_number(one) > 0) - (_number(one) < 0),
    }


def _quantity(text: str) -> str:
    _number(text)
    return text


def _number(text: str) -> Decimal:
    number = quantity(text)
    if number is None:
        raise ValueError(f"{text!r} is no quantity")
    return number


def _is_url(text: str) -> bool:
    return _parses(urllib.parse.urlsplit, text) and bool(urllib.parse.urlsplit(text).scheme or text.startswith("/"))


def _parses(parse: Callable[[str], Any], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
