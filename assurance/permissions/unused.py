"""Unused permissions: neither a rehearsed call nor a line of the table needs them."""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from assurance.permissions.conditions import like, resource_like
from assurance.permissions.evaluator import concerns
from assurance.permissions.needs import Need
from assurance.permissions.physical import attribute
from assurance.permissions.roles import Role
from assurance.permissions.world import World, managed_statements
from delivery.gate.policies import Statement

FILE = Path(__file__).with_name("data") / "kept_rights.toml"


_SHORTEST = 8
"""Characters of a name that cannot be a part of other words."""


@dataclass
class Use:
    """The needed parts of a statement."""

    actions: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)


@dataclass(frozen=True, order=True)
class Unused:
    """An unused action or resource of a role.

    :param role: construct path; the same in every account.
    :param right: the action, ``on RESOURCE`` for a resource none of whose actions is needed, or ``all of POLICY`` for a
        policy of AWS's none of whose actions is.
    """

    role: str
    right: str


def uses(world: World, needs: Iterable[Need]) -> dict[str, list[Use]]:
    """The needed parts of each statement, by ARN of the role."""
    found = {arn: [Use() for _ in range(role.own)] for arn, role in world.roles.items()}
    seen: set[tuple[str, str, str, tuple[tuple[str, str], ...]]] = set()
    for need in needs:
        role = world.roles.get(need.caller.name)
        key = (need.caller.name, need.action, need.resource, tuple(sorted(need.context.items())))
        if role is None or key in seen:
            continue
        seen.add(key)
        for statement, use in zip(role.statements[: role.own], found[role.arn], strict=True):
            if statement.allows and concerns(statement, need.request):
                use.actions |= {one for one in statement.actions.patterns if like(need.action, one, any_case=True)}
                use.resources |= {one for one in statement.resources.patterns if resource_like(need.resource, one)}
    return found


def unused(world: World, needs: Iterable[Need]) -> set[Unused]:
    """Permissions of roles that are unused in all accounts."""
    used: dict[str, set[str]] = defaultdict(set)
    given: dict[str, set[str]] = defaultdict(set)
    names = _Names(world)
    asked: dict[str, list[Need]] = defaultdict(list)
    listed = list(needs)
    for need in listed:
        asked[need.caller.name].append(need)
    for arn, parts in uses(world, listed).items():
        role = world.roles[arn]
        for policy in role.managed:
            right = f"all of {policy.rpartition('/')[2]}"
            given[role.path].add(right)
            if any(concerns(one, need.request) for one in managed_statements(policy) for need in asked[arn]):
                used[role.path].add(right)
        for statement, use in zip(role.statements[: role.own], parts, strict=True):
            if statement.allows:
                patterns = statement.actions.patterns, statement.resources.patterns
                given[role.path] |= set(_rights(names, role, statement, *patterns))
                used[role.path] |= set(_rights(names, role, statement, use.actions, use.resources))
    return {Unused(path, right) for path, rights in given.items() for right in rights - used[path]}


def _rights(
    names: "_Names", role: Role, statement: Statement, actions: Iterable[str], resources: Iterable[str]
) -> Iterator[str]:
    yield from actions
    if len(statement.resources.patterns) > 1:
        yield from (f"on {names.general(role, one)}" for one in resources)


class _Names:
    """Resources by construct path, to compare accounts."""

    def __init__(self, world: World) -> None:
        known = {}
        for one in world.side.resources():
            for attributed in (world.arn(one), attribute(one, "", world.place(one))):
                known[attributed] = world.path(one)
        longest_first = sorted((name for name in known if len(name) > _SHORTEST), key=len, reverse=True)
        self._known = [(name, f"{{{known[name]}}}") for name in longest_first]

    def general(self, role: Role, text: str) -> str:
        for name, path in self._known:
            text = text.replace(name, path)
        return text.replace(role.account, "ACCOUNT").replace(role.region, "REGION")


@dataclass(frozen=True)
class Kept:
    """Unused permissions that are retained.

    :param rights: patterns of actions, or ``on RESOURCE``.
    """

    role: str
    rights: tuple[str, ...]
    reason: str

    def covers(self, one: Unused) -> bool:
        return like(one.role, self.role) and any(like(one.right, right) for right in self.rights)


@cache
def kept(file: Path = FILE) -> tuple[Kept, ...]:
    """The record."""
    found = tomllib.loads(file.read_text(encoding="utf-8"))["kept"]
    return tuple(Kept(one["role"], tuple(one["rights"]), one["reason"]) for one in found)


def judge(found: Iterable[Unused], record: Iterable[Kept]) -> Iterator[str]:
    """Unused permissions without a reason, and reasons without an unused permission."""
    met: set[tuple[Kept, str]] = set()
    lines = list(record)
    for one in sorted(found):
        covering = [line for line in lines if line.covers(one)]
        met |= {(line, right) for line in covering for right in line.rights if like(one.right, right)}
        if not covering:
            yield f"{one.role}: {one.right}: nothing needs it; take it away, or record its reason in {FILE.name}"
    for line in lines:
        for right in line.rights:
            if (line, right) not in met:
                yield f"{line.role}: {right}: it is needed, or gone; remove it from {FILE.name}"
