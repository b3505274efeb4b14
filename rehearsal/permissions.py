"""The emulator's authorization of the calls of roles: a denial fails the rehearsal, and the report counts the rest."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from assurance.permissions import proved, rehearsed, services, unused, workloads
from assurance.permissions.world import World
from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.origins import Origins


@dataclass(frozen=True)
class Roles:
    """The deployed roles.

    :param paths: construct path with its stage, such as ``local/Data/Models/CheckRole``, by the role's name.
    """

    paths: Mapping[str, str]
    origins: Origins

    @classmethod
    def of(cls, assembly: Assembly, state: Mapping[str, Any]) -> "Roles":
        """:param state: the emulator's state."""
        physical = {(stack, id): name for stack, id, name in state["physical"]}
        paths = {
            physical[stack.name, id]: f"{stack.id}/{stack.paths.get(id, id)}"
            for stack in assembly.stacks
            for id in stack.resources("AWS::IAM::Role")
            if (stack.name, id) in physical
        }
        return cls(paths, Origins.load(assembly.folder))

    def path(self, arn: str) -> str:
        """Construct path of a role, or its name if no template contains it."""
        return self.paths.get(arn.rpartition("/")[2], arn.rpartition("role/")[2])

    def line(self, denial: Mapping[str, str]) -> str:
        """A denial in one line."""
        path = self.path(denial["principal"])
        source = self.origins.of(path)
        made = f"; the role is created at {source}" if source else ""
        return (
            f"{path}: {denial['action']} on {denial['resource']} denied: {denial['why']}; "
            f"its policies: {denial['policy']}{made}"
        )


@dataclass(frozen=True)
class Summary:
    """The permissions that a run proves.

    :param seconds: the time that the decisions took.
    :param roles: the number of roles in the templates that made a call, out of ``all_roles``.
    :param statements: the number of statements that allowed one, out of ``given`` of all roles.
    :param missed: the number of these without which a call of the run would be denied.
    :param spare: statements that allowed a call which another statement allows, too.
    :param tabled: the number of other statements that the table over the templates proves.
    :param rest: the remaining statements, each with its recorded reason.
    :param changes: differences from the recorded calls.
    """

    decisions: int
    seconds: float
    roles: int
    all_roles: int
    statements: int
    given: int
    missed: int
    spare: tuple[str, ...]
    tabled: int
    rest: tuple[str, ...]
    undecided: tuple[str, ...]
    unmapped: tuple[str, ...]
    changes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """For the report."""
        yield (
            f"{self.decisions} calls decided in {self.seconds:.1f} s, none denied; "
            f"{self.roles} of {self.all_roles} roles and {self.statements} of their {self.given} statements exercised"
        )
        yield f"{self.missed} of these {self.statements} statements cause a denial when removed"
        yield f"{self.tabled} other statements are proved on the templates, {len(self.rest)} by neither"
        yield from (f"removed without a denial: {each}" for each in self.spare)
        yield from (f"not exercised: {each}" for each in self.rest)
        yield from (f"not decided, missing condition key: {each}" for each in self.undecided)
        yield from (f"not decided, unknown action: {each}" for each in self.unmapped)
        yield from (f"differs from {rehearsed.FILE.name}: {each}" for each in self.changes)


def summary(aws: EmbeddedAws, assembly: Assembly, record: Path, *, exercised: bool) -> Summary:
    """Count the exercised roles and statements, and write a record of the calls.

    :param exercised: whether the functions of the app were exercised.
    :raises RehearsalError: if the app has roles and no call of any role was decided, or if functions were exercised and
        no statement allowed a call.
    """
    decided, state = aws.permissions(), aws.state()
    has_roles = any(
        resource["Type"] == "AWS::IAM::Role"
        for stack in assembly.stacks
        for resource in stack.template.get("Resources", {}).values()
    )
    if has_roles and not decided["decisions"]:
        raise RehearsalError("no call of a role was decided, not even of the deploy roles; enforcement does not work")
    roles = Roles.of(assembly, state)
    calls = rehearsed.calls(assembly.stacks, state["physical"], decided["allowed"])
    rehearsed.save(calls, record)
    world = World.of(assembly.stacks)
    found = _counted(world, calls)
    if exercised and not found.statements:
        raise RehearsalError("no statement of the platform's roles allowed a call; nothing was exercised")
    is_recorded = exercised and any(stack.id.startswith(f"{rehearsed.ACCOUNT}/") for stack in assembly.stacks)
    changes = [*rehearsed.differences(world, calls, whole=not assembly.selected)] if is_recorded else []
    return replace(
        found,
        decisions=decided["decisions"],
        seconds=decided["seconds"],
        undecided=tuple(f"{roles.path(role)} {action} ({key})" for role, action, key in decided["undecided"]),
        unmapped=tuple(decided["unmapped"]),
        changes=tuple(changes),
    )


def _counted(world: World, calls: Sequence[rehearsed.Call]) -> Summary:
    """Count statements by their proof: a call of this run, the table, or a recorded reason."""
    own = {arn: role for arn, role in world.roles.items() if not role.path.startswith("bootstrap/")}
    made = list(rehearsed.needs(world, calls))
    used = unused.uses(world, made)
    tabled = unused.uses(world, [*services.needs(world), *workloads.needs(world)])
    missed = {(one.role.arn, one.statement) for one in proved.proofs(world, made) if one.missed and not one.trust}
    spare: list[str] = []
    rest: list[str] = []
    numbers = {"exercised": 0, "missed": 0, "tabled": 0}
    for arn, role in own.items():
        for statement, use, other in zip(role.statements[: role.own], used[arn], tabled[arn], strict=True):
            if use.actions:
                numbers["exercised"] += 1
                numbers["missed"] += (arn, statement) in missed
                if (arn, statement) not in missed:
                    spare.append(f"{role.path}: {statement}")
            elif other.actions:
                numbers["tabled"] += 1
            else:
                rest.append(f"{role.path}: {statement}: {proved.reason(role, statement) or 'no reason is recorded'}")
    callers = {call.role for call in calls}
    return Summary(
        decisions=0,
        seconds=0,
        roles=sum(role.path in callers for role in own.values()),
        all_roles=len(own),
        statements=numbers["exercised"],
        given=sum(role.own for role in own.values()),
        missed=numbers["missed"],
        spare=tuple(spare),
        tabled=numbers["tabled"],
        rest=tuple(rest),
        undecided=(),
        unmapped=(),
        changes=(),
    )


def denials(aws: EmbeddedAws, assembly: Path) -> Iterator[str]:
    """A line for each denied call, and for each call of a function with the account's credentials."""
    if not (assembly / "manifest.json").exists():
        return
    with suppress(OSError, HTTPException):  # the emulator has ended
        decided = aws.permissions()
        roles = Roles.of(Assembly(assembly), aws.state())
        yield from (roles.line(denial) for denial in decided["denied"])
        yield from (f"a function called {call} with the account's own key" for call in decided["as_root"])
