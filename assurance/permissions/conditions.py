"""Evaluates the conditions of policy statements against the context of a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

Context = Mapping[str, str | tuple[str, ...]]
"""Condition keys of a request in lower case. A key with several values has a tuple."""
Condition = tuple[str, str, tuple[str, ...]]
"""Operator, key in lower case, values of the policy: the form of ``delivery.gate.policies``."""

_VARIABLE = re.compile(r"\$\{([^},]+)(?:,\s*'([^']*)')?\s*\}")
"""A policy variable, with the default value that it may have.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html"""
_LITERAL = {"*": "\ue000", "?": "\ue001", "$": "$"}
"""What stands for a character that a variable brings in, so that it is not a wildcard."""
_CHARACTERS = {"\ue000": "*", "\ue001": "?"}


class UnknownOperatorError(ValueError):
    """A condition operator that IAM does not have."""


def holds(condition: Condition, context: Context) -> bool:
    """Whether a condition is true for a request.

    If the request lacks the key, negated operators and those that end in ``IfExists`` are true, all others false.
    ``Null`` tests only whether the key is missing.

    :raises UnknownOperatorError: for an operator that IAM does not have. AWS would refuse the policy.
    """
    written, key, values = condition
    prefix, _, name = written.rpartition(":")
    name, if_exists = (name[:-8], True) if name.endswith("IfExists") else (name, False)
    actual = context.get(key)
    if name == "Null":
        return any((value.lower() == "true") == (actual is None) for value in values)
    if name not in _OPERATORS:
        raise UnknownOperatorError(f"{written}: IAM has no such condition operator")
    test, negated = _OPERATORS[name]
    wanted = [value for value in (substituted(value, context) for value in values) if value is not None]

    def matches(one: str) -> bool:
        return any(_passes(test, one, value) for value in wanted) != negated

    if prefix == "ForAllValues":
        return all(matches(one) for one in _several(actual))
    if prefix == "ForAnyValue":
        return any(matches(one) for one in _several(actual)) or (actual is None and if_exists)
    if actual is None:
        return if_exists or negated
    return any(matches(one) for one in _several(actual))


def substituted(pattern: str, context: Context) -> str | None:
    """A pattern with its policy variables replaced. None if the request lacks one; then the pattern matches nothing.

    Wildcards in the value of a variable match themselves only.
    """
    missing = False

    def put(match: re.Match[str]) -> str:
        nonlocal missing
        name, default = match.group(1).strip(), match.group(2)
        if name in _LITERAL:
            return _LITERAL[name]
        value = context.get(name.lower(), default)
        if not isinstance(value, str):
            missing = True
            return ""
        return value.translate(_NO_WILDCARDS)

    text = _VARIABLE.sub(put, pattern)
    return None if missing else text


_NO_WILDCARDS = str.maketrans({"*": _LITERAL["*"], "?": _LITERAL["?"]})


def _passes(test: Callable[[str, str], bool], one: str, value: str) -> bool:
    """Whether an operator is true for a value of the request. False if either value is not of the operator's type."""
    try:
        return test(one, value)
    except ValueError:
        return False


@cache
def _compiled(pattern: str, any_case: bool) -> re.Pattern[str]:
    text = "".join({"*": ".*", "?": "."}.get(sign) or re.escape(_CHARACTERS.get(sign, sign)) for sign in pattern)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if any_case else 0))


def like(name: str, pattern: str, *, any_case: bool = False) -> bool:
    """Whether a name of a request matches a pattern of a policy: ``*`` for anything, ``?`` for one character."""
    return bool(_compiled(pattern, any_case).fullmatch(name))


def arn_like(name: str, pattern: str) -> bool:
    """Whether an ARN matches a pattern part by part, so that ``*`` ends at a colon, except in the last part."""
    one, other = name.split(":", 5), pattern.split(":", 5)
    return len(one) == len(other) and all(map(like, one, other))


def resource_like(name: str, pattern: str) -> bool:
    """Whether the resource of a request matches one of a policy. IAM adds ``*`` for parts that a pattern lacks.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """
    if pattern == "*" or not pattern.startswith("arn:"):
        return like(name, pattern)
    parts = name.split(":", 5)
    return len(parts) == 6 and all(one.fullmatch(part) for one, part in zip(_parts(pattern), parts, strict=True))


@cache
def _parts(pattern: str) -> tuple[re.Pattern[str], ...]:
    parts = pattern.split(":", 5)
    return tuple(_compiled(part, False) for part in (*parts, *"*" * (6 - len(parts))))


def _several(actual: str | tuple[str, ...] | None) -> Sequence[str]:
    return () if actual is None else (actual,) if isinstance(actual, str) else actual


def _equal(one: str, other: str) -> bool:
    return one == other.translate(_CHARACTERS_TABLE)


def _same(one: str, other: str) -> bool:
    return one.lower() == other.translate(_CHARACTERS_TABLE).lower()


_CHARACTERS_TABLE = str.maketrans(_CHARACTERS)


def _moment(compare: Callable[[datetime, datetime], bool]) -> Callable[[str, str], bool]:
    return lambda one, other: compare(_time(one), _time(other))


def _time(text: str) -> datetime:
    """ISO 8601, or seconds since 1970."""
    if text.isdigit():
        return datetime.fromtimestamp(int(text), tz=UTC)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda one, other: compare(float(one), float(other))


def _inside(address: str, block: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(block, strict=False)


_OPERATORS: dict[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_same, False),
    "StringNotEqualsIgnoreCase": (_same, True),
    "StringLike": (like, False),
    "StringNotLike": (like, True),
    "ArnEquals": (arn_like, False),
    "ArnNotEquals": (arn_like, True),
    "ArnLike": (arn_like, False),
    "ArnNotLike": (arn_like, True),
    "BinaryEquals": (_equal, False),
    "Bool": (_same, False),
    "NumericEquals": (_number(float.__eq__), False),
    "NumericNotEquals": (_number(float.__eq__), True),
    "NumericLessThan": (_number(float.__lt__), False),
    "NumericLessThanEquals": (_number(float.__le__), False),
    "NumericGreaterThan": (_number(float.__gt__), False),
    "NumericGreaterThanEquals": (_number(float.__ge__), False),
    "DateEquals": (_moment(datetime.__eq__), False),
    "DateNotEquals": (_moment(datetime.__eq__), True),
    "DateLessThan": (_moment(datetime.__lt__), False),
    "DateLessThanEquals": (_moment(datetime.__le__), False),
    "DateGreaterThan": (_moment(datetime.__gt__), False),
    "DateGreaterThanEquals": (_moment(datetime.__ge__), False),
    "IpAddress": (_inside, False),
    "NotIpAddress": (_inside, True),
}
