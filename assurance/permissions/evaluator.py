"""Decides one request as IAM does: identity, boundary, resource, key and trust policies together.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from assurance.permissions.conditions import Context, holds, like, resource_like, substituted
from assurance.permissions.roles import Role
from assurance.permissions.world import World
from delivery.gate.policies import Names, Statement

_ROLE = re.compile(r"^arn:[^:]+:iam::(\d{12}):role/")
_NEEDS_RESOURCE_POLICY = ("kms:", "sts:AssumeRole", "sts:TagSession")
"""Where the identity alone is not enough, not even in its own account."""


class UndecidableError(ValueError):
    """A policy whose meaning depends on values that no template contains."""


@dataclass(frozen=True)
class Caller:
    """The principal of a request.

    :param name: ARN of a role, a service such as ``firehose.amazonaws.com``, or the ARN of the identity provider that
        issued the caller's token.
    :param account: the principal's own account, or the account on whose behalf a service calls.
    """

    name: str
    account: str
    statements: tuple[Statement, ...] = ()
    boundary: tuple[Statement, ...] | None = None

    @classmethod
    def role(cls, role: Role) -> "Caller":
        return cls(role.arn, role.account, role.statements, role.boundary)

    @property
    def is_service(self) -> bool:
        return not self.name.startswith("arn:")

    @property
    def is_token(self) -> bool:
        return ":oidc-provider/" in self.name


@dataclass(frozen=True)
class Request:
    """One action on one resource.

    :param context: condition keys in addition to those that follow from principal and region.
    :param endpoints: policies of the VPC endpoints that the request passes.
    """

    caller: Caller
    action: str
    resource: str
    region: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    endpoints: tuple[tuple[Statement, ...], ...] = ()

    @property
    def keys(self) -> Context:
        known: dict[str, str | tuple[str, ...]] = {
            "aws:requestedregion": self.region,
            "aws:securetransport": "true",
            "aws:principalisawsservice": str(self.caller.is_service).lower(),
        }
        if self.caller.is_service:  # its account belongs to AWS and is unknown
            known["aws:principalservicename"] = self.caller.name
            known["aws:principalservicenameslist"] = (self.caller.name,)
        else:
            known["aws:principalarn"] = self.caller.name
            known["aws:principalaccount"] = self.caller.account
            known["aws:principaltype"] = "AssumedRole"
            if self.action.startswith("kms:"):
                known["kms:calleraccount"] = self.caller.account
        return known | {key.lower(): value for key, value in self.context.items()}

    def __str__(self) -> str:
        return f"{self.caller.name} {self.action} on {self.resource}"


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, with the statements that allow or deny it."""

    allowed: bool
    why: str
    by: tuple[Statement, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed


def decide(request: Request, guards: Sequence[Statement] | None, owner: str) -> Decision:
    """Decide a request.

    :param guards: the resource's own policy, or the trust policy of a role; None if it has none.
    :param owner: account of the resource.
    :raises UndecidableError: for ``NotPrincipal``, which AWS compares with the session, its role and its account.
    """
    request = replace(request, context={"aws:ResourceAccount": owner, **request.context})
    caller = request.caller
    for one in (*(guards or ()), *(each for policy in request.endpoints for each in policy)):
        if one.principals and one.principals.but:
            raise UndecidableError(f"{one}: NotPrincipal; write a condition on aws:PrincipalArn in its place")
    for policy in request.endpoints:
        if not (passed := _passes(policy, request)):
            return passed
    identity = [one for one in caller.statements if concerns(one, request)]
    resource = [one for one in guards or () if concerns(one, request) and _names(one.principals, request)]
    for one in (*identity, *resource):
        if not one.allows:
            return Decision(False, f"denied by: {one}", (one,))
    allowed = [one for one in identity if one.allows]
    if caller.boundary is not None:
        bounds = [one for one in caller.boundary if concerns(one, request)]
        if denied := [one for one in bounds if not one.allows]:
            return Decision(False, f"denied by the permissions boundary: {denied[0]}", tuple(denied))
        if not bounds:
            return Decision(False, "outside the permissions boundary")
    direct = [one for one in resource if _directly(one.principals, request)]
    delegated = [one for one in resource if one not in direct]
    if caller.is_service:
        return _by(direct, "no statement of the resource names the service so")
    if caller.account == owner:
        if direct and not (request.action.startswith("kms:") and guards is None):
            return Decision(True, "the resource names the role", tuple(direct))
        if request.action.startswith(_NEEDS_RESOURCE_POLICY) and not delegated:
            return Decision(False, "the resource's own policy allows neither the role nor its account")
        return _by(allowed, "no statement of the role allows it", delegated)
    if not resource:
        return Decision(False, "the resource's own policy does not let this account in")
    return _by(allowed, "no statement of the role allows it", resource)


def _by(found: Iterable[Statement], missing: str, others: Iterable[Statement] = ()) -> Decision:
    allowed = tuple(found)
    return Decision(True, "allowed", (*allowed, *others)) if allowed else Decision(False, missing)


def _passes(policy: Sequence[Statement], request: Request) -> Decision:
    """Whether the policy of a VPC endpoint allows a request. Such a policy grants no permission.

    https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
    """
    about = [one for one in policy if concerns(one, request) and _names(one.principals, request)]
    if denied := [one for one in about if not one.allows]:
        return Decision(False, f"denied by the endpoint: {denied[0]}", tuple(denied))
    return _by(about, "no statement of the endpoint's policy allows it")


def concerns(statement: Statement, request: Request) -> bool:
    """Whether a statement matches a request, including its conditions, regardless of the principals that it names."""
    return (
        any(like(request.action, one, any_case=True) for one in statement.actions.patterns) != statement.actions.but
        and _holds_resource(statement.resources, request.resource, request.keys)
        and all(holds(condition, request.keys) for condition in statement.conditions)
    )


def _holds_resource(names: Names, name: str, context: Context) -> bool:
    """Whether a statement matches a resource. A statement with a variable that the request lacks matches none."""
    patterns = [substituted(pattern, context) if "${" in pattern else pattern for pattern in names.patterns]
    known = [pattern for pattern in patterns if pattern is not None]
    if names.but and len(known) < len(patterns):
        return False
    return any(resource_like(name, pattern) for pattern in known) != names.but


def _names(principals: Names | None, request: Request) -> bool:
    """Whether a statement of a resource policy names the caller, its account, or every principal."""
    if principals is None:
        return False
    return any(_is(name, request.caller) or _is_account_of(name, request.caller) for name in principals.patterns)


def _directly(principals: Names | None, request: Request) -> bool:
    """Whether a statement names the caller itself, so that the caller's own policies need not allow it.

    ``*`` includes the caller. The root of an account delegates the decision to that account's policies.
    """
    if principals is None:
        return False
    return any(_is(name, request.caller) for name in principals.patterns)


def _is(principal: str, caller: Caller) -> bool:
    kind, _, name = principal.partition(":")
    if kind == "Service":
        return caller.is_service and name == caller.name
    if kind == "Federated":
        return name == caller.name
    return kind in ("AWS", "*") and (name == "*" or (name == caller.name and not caller.is_token))


def _is_account_of(principal: str, caller: Caller) -> bool:
    return not caller.is_service and principal == f"AWS:arn:aws:iam::{caller.account}:root"


def ask(world: World, request: Request) -> Decision:
    """Decide a request to a resource of the templates, or to one that is only named."""
    resource = world.behind(request.resource)
    guards = world.policies.get(world.arn(resource)) if resource else world.policies.get(request.resource)
    owner = world.place(resource).account if resource else _owner(request)
    if request.action.startswith("sts:Assume") or request.action == "sts:TagSession":
        role = world.roles.get(request.resource)
        if role is None:
            return Decision(False, "no template has this role")
        return decide(request, _trust(role), role.account)
    return decide(request, guards, owner)


def _trust(role: Role) -> tuple[Statement, ...]:
    """The statements of a trust policy. Their resource is the role itself."""
    return role.trust


def _owner(request: Request) -> str:
    parts = request.resource.split(":", 5)
    return parts[4] if len(parts) == 6 and parts[4].isdigit() else request.caller.account
