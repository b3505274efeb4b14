"""Proves statements: without a proved statement, a needed request is refused."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from assurance.permissions.conditions import like
from assurance.permissions.evaluator import Caller, ask, concerns
from assurance.permissions.needs import Need
from assurance.permissions.roles import Role
from assurance.permissions.unused import Unused, kept
from assurance.permissions.world import World
from delivery.gate.policies import Statement

UNPROVED = {
    "*Cluster/Cluster/Cluster/Role": "a denial: EKS would make a log group again that was deleted",
    "*Cluster/Cluster/Access/BreakGlass": "taken by an administrator of the account, whose rights no template has",
    "Identity/People/*": "taken by people of Identity Center, whose roles no template has",
    "Workloads/Teams/*/Emr/ServiceRole": "taken by EMR for clusters of pipelines, which no template has",
    "Workloads/Teams/*/EmrServerless/JobRole": "taken by EMR Serverless for jobs of pipelines, which no template has",
    "Workloads/Teams/*/SageMaker/Role": "taken by SageMaker for jobs of pipelines, which no template has",
    "Pipeline/Pipeline/Assets/FileRole": "a denial: its builds start no others",
    "Pipeline/Pipeline/Pipeline/Role": "a denial: it uses no other key of its region",
}
"""Roles that have a denial, or a trust policy, that nothing here needs; what it is for."""


@dataclass(frozen=True)
class Proof:
    """A statement of a role of the templates.

    :param missed: request that is refused without it, or None.
    """

    role: Role
    statement: Statement
    trust: bool
    missed: Need | None


def proofs(world: World, needs: Iterable[Need]) -> Iterator[Proof]:
    """Every statement of every role, including trust policies, with the need that it serves."""
    called: dict[str, list[Need]] = defaultdict(list)
    taken: dict[str, list[Need]] = defaultdict(list)
    for need in needs:
        called[need.caller.name].append(need)
        taken[need.resource].append(need)
    for role in world.roles.values():
        if role.path.startswith("bootstrap/"):
            continue
        for number, statement in enumerate(role.statements[: role.own]):
            rest = role.statements[:number] + role.statements[number + 1 :]
            about = (one for one in called[role.arn] if concerns(statement, one.request))
            missed = next((one for one in about if _is_refused(world, role, rest, one)), None)
            yield Proof(role, statement, False, missed)
        for number, statement in enumerate(role.trust):
            rest = role.trust[:number] + role.trust[number + 1 :]
            without = replace(world, roles={**world.roles, role.arn: replace(role, trust=rest)})
            about = (one for one in taken[role.arn] if one.action.startswith("sts:"))
            missed = next((one for one in about if not ask(without, one.request)), None)
            yield Proof(role, statement, True, missed)


def unproved(found: Iterable[Proof]) -> Iterator[str]:
    """Statements that serve no need and have no recorded reason. Reasons of permissions are in ``kept_rights.toml``."""
    for proof in found:
        if proof.missed is None and not reason(proof.role, proof.statement, trust=proof.trust):
            yield f"{proof.role.path}: {proof.statement}: taken away, nothing is missed"


def reason(role: Role, statement: Statement, *, trust: bool = False) -> str:
    """The recorded reason for a statement that serves no need. Empty if there is none."""
    if trust or not statement.allows:
        return next((why for path, why in UNPROVED.items() if like(role.path, path)), "")
    rights = [Unused(role.path, right) for right in statement.actions.patterns]
    return next((line.reason for line in kept() if any(line.covers(right) for right in rights)), "")


def _is_refused(world: World, role: Role, statements: tuple[Statement, ...], need: Need) -> bool:
    caller = Caller(role.arn, role.account, statements, role.boundary)
    return not ask(world, replace(need.request, caller=caller))
