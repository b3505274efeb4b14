"""Steps from one identity to another."""

from dataclasses import dataclass

from assurance.permissions.conditions import like
from assurance.permissions.roles import Role
from delivery.gate.policies import Names, Statement, overlap

ADMINISTRATOR = "administrator:"
AUDIT = "audit trail:"
_KEPT: dict[tuple[int, str], tuple[tuple[Statement, ...], tuple[Statement, ...]]] = {}


@dataclass(frozen=True)
class Step:
    """A step.

    :param source: a node: ARN of a role, a subject of a cluster, or a target with its account.
    :param by: the permission, or the configuration, that makes it possible.
    """

    source: str
    target: str
    kind: str
    by: str


def node_of(role: Role) -> str:
    return role.arn


def may(role: Role, action: str, resource: str, *, unless: tuple[str, ...] = ()) -> bool:
    """Whether a role may act on some resources of a pattern, if all conditions are fulfilled.

    :param unless: condition keys that make a statement harmless.
    """
    about = [one for one in about_action(role, action) if _overlaps(one.resources, resource)]
    if any(not one.allows and (not one.conditions or _closes(one, unless)) and _all_of(one, resource) for one in about):
        return False
    return any(one.allows and not any(key in unless for _, key, _ in one.conditions) for one in about)


def _closes(denial: Statement, unless: tuple[str, ...]) -> bool:
    """Whether a denial covers exactly the harmful cases, according to its condition keys."""
    return bool(unless) and all(key in unless for _, key, _ in denial.conditions)


def about_action(role: Role, action: str) -> tuple[Statement, ...]:
    """The statements of a role that match an action. Cached, because a search reads the same ones often."""
    key = (id(role.statements), action)
    if key not in _KEPT:
        found = tuple(
            one
            for one in role.statements
            if any(like(action, each, any_case=True) for each in one.actions.patterns) != one.actions.but
        )
        _KEPT[key] = (role.statements, found)
    return _KEPT[key][1]


def _overlaps(names: Names, resource: str) -> bool:
    if names.but:
        return not any(like(resource, pattern) for pattern in names.patterns)
    return any(overlap(pattern, resource) for pattern in names.patterns)


def _all_of(statement: Statement, resource: str) -> bool:
    """Whether a denial covers a whole pattern."""
    if statement.resources.but:
        return False
    return any(pattern == "*" or like(resource, pattern) for pattern in statement.resources.patterns)
