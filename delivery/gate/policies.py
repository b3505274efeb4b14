"""IAM policy statements, and whether one set of them allows more than another.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from delivery.gate.values import Value, text_of

_ANYONE = "AWS:*"
_ACCOUNT_ROOT = re.compile(r"^AWS:arn:[^:]+:iam::(\d{12}):root$")
_ARN_ACCOUNT = re.compile(r"^AWS:arn:[^:]+:(?:iam|sts)::(\d{12}):")
_CLOSED_SETS = frozenset({"StringEquals", "ArnEquals", "StringEqualsIgnoreCase", "ForAllValues:StringEquals"})
"""Condition operators for which fewer values are more restrictive."""
_PATTERN_SETS = frozenset({"StringLike", "ArnLike"})


@dataclass(frozen=True)
class Names:
    """A set of names by patterns: ``Action`` and ``NotAction``, ``Resource`` and ``NotResource``.

    :param but: whether the set is the complement of the patterns.
    :param any_case: whether matching ignores case, as for actions.
    """

    patterns: tuple[str, ...]
    but: bool = False
    any_case: bool = False

    def covers(self, other: "Names") -> bool:
        """Whether it contains all of ``other``, as far as that can be decided without AWS."""
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

    :param principals: as ``kind:name``; None in an identity-based policy.
    """

    allows: bool
    actions: Names
    resources: Names
    principals: Names | None
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def covers(self, other: "Statement") -> bool:
        """Whether this statement applies to everything that ``other`` applies to."""
        return (
            self.allows == other.allows
            and self.actions.covers(other.actions)
            and self.resources.covers(other.resources)
            and _principals_cover(self.principals, other.principals)
            and all(_condition_holds(mine, other.conditions) for mine in self.conditions)
        )

    def split(self) -> Iterator["Statement"]:
        """One statement for each pair of action and resource, so that several others can cover it together."""
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
    """The statements of a policy document in normal form."""
    if not isinstance(document, dict):
        return []
    found = document.get("Statement", [])
    return [_statement(one) for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def widened(before: Sequence[Statement], after: Sequence[Statement]) -> list[str]:
    """The permissions that ``after`` grants and ``before`` does not, in words."""
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
    """Whether a statement grants access to everyone, or to an account other than ``account``."""
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
    """Whether ``pattern`` matches every name that ``name`` matches, which may itself be a pattern."""
    return bool(re.fullmatch(_regex(pattern), name, re.DOTALL))


def overlap(one: str, other: str) -> bool:
    """Whether two patterns may match the same name. True in case of doubt."""
    if matches(one, other) or matches(other, one):
        return True
    if not any(sign in one or sign in other for sign in "*?"):
        return False
    first, second = re.split(r"[*?]", one), re.split(r"[*?]", other)
    heads = first[0].startswith(second[0]) or second[0].startswith(first[0])
    tails = first[-1].endswith(second[-1]) or second[-1].endswith(first[-1])
    return heads and tails


@cache
def _regex(pattern: str) -> str:
    """Match patterns: ``*`` matches anything, ``?`` one character except the ``*`` of a pattern."""
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
                _lowered(key),
                tuple(text_of(value) for value in (values if isinstance(values, list) else [values])),
            )
            for operator, keys in sorted(body.get("Condition", {}).items())
            for key, values in (sorted(keys.items()) if isinstance(keys, dict) else [("", text_of(keys))])
        ),
    )


def _lowered(key: str) -> str:
    """A condition key, whose case has no meaning. References in it, such as to the issuer of a cluster, keep theirs."""
    return "".join(part if part.startswith("«") else part.lower() for part in re.split("(«[^»]*»)", key))


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
    """Whether one principal covers another: ``*`` covers all, an account its principals, and a name only itself."""
    if mine in (theirs, _ANYONE):
        return True
    whole, owner = _ACCOUNT_ROOT.match(mine), _ARN_ACCOUNT.match(theirs)
    return bool(whole and owner and whole.group(1) == owner.group(1))


def _condition_holds(
    mine: tuple[str, str, tuple[str, ...]], others: Iterable[tuple[str, str, tuple[str, ...]]]
) -> bool:
    """Whether a condition holds whenever all of ``others`` hold."""
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
    """Whether a condition restricts ``*`` to this account."""
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
    """The uncovered parts of a statement as one, for display: it contains only what is new."""
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
