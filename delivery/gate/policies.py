"""IAM policy statements, and whether one set of them allows more than another.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from delivery.gate.values import Value, text_of

_ANYONE = "AWS:*"
_ACCOUNT_ROOT = re.compile(r"^AWS:arn:[^:]+:iam::(\d{12}):root$")
_ARN_ACCOUNT = re.compile(r"^AWS:arn:[^:]+:(?:iam|sts)::(\d{12}):")
_CLOSED_SETS = frozenset({"StringEquals", "ArnEquals", "StringEqualsIgnoreCase", "ForAllValues:StringEquals"})
"""Condition operators that a shorter list of values narrows."""
_PATTERN_SETS = frozenset({"StringLike", "ArnLike"})


@dataclass(frozen=True)
class Names:
    """Those that patterns match, or all but those: ``Action`` and ``NotAction``, ``Resource`` and ``NotResource``.

    :param but: whether it is all that the patterns do not match.
    :param any_case: whether capitals mean nothing, as in names of actions.
    """

    patterns: tuple[str, ...]
    but: bool = False
    any_case: bool = False

    def covers(self, other: "Names") -> bool:
        """Whether it holds everything that ``other`` holds, as far as that can be known without asking AWS."""
        mine, theirs = self._folded(), other._folded()
        if not self.but and "*" in mine:
            return True
        if self.but and other.but:
            return all(any(matches(two, one) for two in theirs) for one in mine)
        if self.but:
            return not any(overlap(one, two) for one in mine for two in theirs)
        if other.but:
            return False
        return all(any(matches(one, two) for one in mine) for two in theirs)

    def _folded(self) -> tuple[str, ...]:
        return tuple(one.lower() for one in self.patterns) if self.any_case else self.patterns


@dataclass(frozen=True)
class Statement:
    """One statement of a policy.

    :param principals: as ``kind:name``; None where the policy is that of a principal.
    """

    allows: bool
    actions: Names
    resources: Names
    principals: Names | None
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def covers(self, other: "Statement") -> bool:
        """Whether everything that ``other`` is about is something that this one is about."""
        return (
            self.allows == other.allows
            and self.actions.covers(other.actions)
            and self.resources.covers(other.resources)
            and _principals_cover(self.principals, other.principals)
            and all(_condition_holds(mine, other.conditions) for mine in self.conditions)
        )

    def split(self) -> Iterator["Statement"]:
        """One statement for each pair of action and resource, so that several others together may cover it."""
        for actions in _each(self.actions):
            for resources in _each(self.resources):
                for principals in _each(self.principals) if self.principals else (None,):
                    yield Statement(self.allows, actions, resources, principals, self.conditions)

    def __str__(self) -> str:
        who = f"{_named(self.principals)} " if self.principals else ""
        when = f" if {'; '.join(f'{op} {key} {_short(values)}' for op, key, values in self.conditions)}"
        verb = "may" if self.allows else "is denied"
        return f"{who}{verb} {_named(self.actions)} on {_named(self.resources)}{when if self.conditions else ''}"


def statements(document: Value) -> list[Statement]:
    """The statements of a policy document in its one form."""
    if not isinstance(document, dict):
        return []
    found = document.get("Statement", [])
    return [_statement(one) for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def widened(before: Sequence[Statement], after: Sequence[Statement]) -> list[str]:
    """What the statements of ``after`` allow that those of ``before`` do not, in words."""
    allowed = [one for one in before if one.allows]
    denied = [one for one in after if not one.allows]
    found = []
    for statement in after:
        if statement.allows and not _covered(statement, allowed):
            missing = [one for one in statement.split() if not _covered(one, allowed)]
            found.append(str(_merged(statement, missing)))
    found += [f"no longer: {one}" for one in before if not one.allows and not _covered(one, denied)]
    return found


def reaches_outside(statement: Statement, account: str) -> bool:
    """Whether a statement allows something to everybody, or to another account than ``account``."""
    if not statement.allows or statement.principals is None:
        return False
    if statement.principals.but:
        return True
    for name in statement.principals.patterns:
        if name == _ANYONE and not _tied_to_account(statement, account):
            return True
        owner = _ARN_ACCOUNT.match(name)
        if owner and owner.group(1) != account:
            return True
    return False


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` matches everything that ``name``, which may be a pattern itself, matches."""
    return bool(re.fullmatch(_regex(pattern), name, re.DOTALL))


def overlap(one: str, other: str) -> bool:
    """Whether two patterns may match the same name. Says so when in doubt."""
    if matches(one, other) or matches(other, one):
        return True
    if not any(sign in one or sign in other for sign in "*?"):
        return False
    first, second = re.split(r"[*?]", one), re.split(r"[*?]", other)
    heads = first[0].startswith(second[0]) or second[0].startswith(first[0])
    tails = first[-1].endswith(second[-1]) or second[-1].endswith(first[-1])
    return heads and tails


def _regex(pattern: str) -> str:
    """``*`` matches anything, ``?`` one character, but not the ``*`` of a pattern."""
    return "".join({"*": ".*", "?": "[^*]"}.get(sign) or re.escape(sign) for sign in pattern)


def _statement(body: dict[str, Any]) -> Statement:
    return Statement(
        allows=body.get("Effect") == "Allow",
        actions=_names(body, "Action", any_case=True),
        resources=_names(body, "Resource"),
        principals=_principals(body),
        conditions=tuple(
            (
                operator,
                key.lower(),
                tuple(text_of(value) for value in (values if isinstance(values, list) else [values])),
            )
            for operator, keys in sorted(body.get("Condition", {}).items())
            for key, values in (sorted(keys.items()) if isinstance(keys, dict) else [("", text_of(keys))])
        ),
    )


def _names(body: dict[str, Any], key: str, *, any_case: bool = False) -> Names:
    but = f"Not{key}" in body
    return Names(tuple(text_of(value) for value in body.get(f"Not{key}" if but else key, ["*"])), but, any_case)


def _principals(body: dict[str, Any]) -> Names | None:
    but = "NotPrincipal" in body
    found = body.get("NotPrincipal" if but else "Principal")
    if not isinstance(found, dict):
        return None
    return Names(tuple(_principal(kind, text_of(name)) for kind, names in found.items() for name in names), but)


def _principal(kind: str, name: str) -> str:
    return f"AWS:arn:aws:iam::{name}:root" if kind == "AWS" and re.fullmatch(r"\d{12}", name) else f"{kind}:{name}"


def _principals_cover(mine: Names | None, theirs: Names | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    if mine.but or theirs.but:
        return mine == theirs
    return all(any(_principal_covers(one, other) for one in mine.patterns) for other in theirs.patterns)


def _principal_covers(mine: str, theirs: str) -> bool:
    """Names of principals are no patterns, but everybody covers anybody, and an account its own."""
    if mine in (theirs, _ANYONE):
        return True
    whole, owner = _ACCOUNT_ROOT.match(mine), _ARN_ACCOUNT.match(theirs)
    return bool(whole and owner and whole.group(1) == owner.group(1))


def _condition_holds(
    mine: tuple[str, str, tuple[str, ...]], others: Iterable[tuple[str, str, tuple[str, ...]]]
) -> bool:
    """Whether a condition is true wherever all of ``others`` are."""
    operator, key, values = mine
    for their_operator, their_key, their_values in others:
        if (their_operator, their_key) != (operator, key):
            continue
        if set(their_values) == set(values):
            return True
        if operator in _CLOSED_SETS and set(their_values) <= set(values):
            return True
        if operator in _PATTERN_SETS and all(any(matches(one, other) for one in values) for other in their_values):
            return True
    return False


def _tied_to_account(statement: Statement, account: str) -> bool:
    """Whether a condition leaves only this account of everybody."""
    keys = {"aws:principalaccount", "aws:sourceaccount", "kms:calleraccount", "aws:principalarn", "aws:resourceaccount"}
    return any(
        key in keys and operator in _CLOSED_SETS | _PATTERN_SETS and all(account in value for value in values)
        for operator, key, values in statement.conditions
    )


def _covered(statement: Statement, by: Sequence[Statement]) -> bool:
    return all(any(one.covers(part) for one in by) for part in statement.split())


def _each(names: Names) -> Iterator[Names]:
    if names.but:
        yield names
    else:
        yield from (Names((pattern,), any_case=names.any_case) for pattern in names.patterns)


def _merged(whole: Statement, missing: Sequence[Statement]) -> Statement:
    """The uncovered parts of a statement as one, for people: it names no more than what is new."""
    actions = dict.fromkeys(pattern for one in missing for pattern in one.actions.patterns)
    resources = dict.fromkeys(pattern for one in missing for pattern in one.resources.patterns)
    principals = dict.fromkeys(pattern for one in missing if one.principals for pattern in one.principals.patterns)
    return Statement(
        whole.allows,
        Names(tuple(actions), whole.actions.but, any_case=True),
        Names(tuple(resources), whole.resources.but),
        Names(tuple(principals), whole.principals.but) if whole.principals else None,
        whole.conditions,
    )


def _named(names: Names) -> str:
    return ("all but " if names.but else "") + _short(names.patterns)


def _short(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
