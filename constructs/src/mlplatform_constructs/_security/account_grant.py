"""Grants on resources that take no policy of their own, and so serve roles of their own account alone."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import IConstruct

from .._arguments import ConfigurationError, is_token
from .acknowledge import acknowledge_wildcards_of


@dataclass(frozen=True, kw_only=True)
class Permission:
    """Actions on resources.

    :param conditions: as IAM writes them. Default: none.
    :param why: the reason for a wildcard in a resource. Default: no resource has one.
    """

    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, object]] | None = None
    why: str = ""


@dataclass(frozen=True)
class Arns:
    """ARNs of resources in the account and Region of a construct."""

    partition: str
    region: str
    account: str

    @classmethod
    def of(cls, owner: IConstruct) -> "Arns":
        stack = Stack.of(owner)
        return cls(stack.partition, stack.region, stack.account)

    def regional(self, service: str, resource: str) -> str:
        """A resource in the Region, such as ``access-point/*`` of ``elasticfilesystem``."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def public(self, service: str, resource: str) -> str:
        """A resource in the Region that AWS owns or that belongs to any account, such as ``image/*`` of ``ec2``."""
        return f"arn:{self.partition}:{service}:{self.region}::{resource}"

    def iam(self, resource: str) -> str:
        """An IAM resource of the account."""
        return f"arn:{self.partition}:iam::{self.account}:{resource}"


def grant_permissions(owner: IConstruct, grantee: iam.IGrantable, permissions: Sequence[Permission]) -> iam.Grant:
    """Add permissions to the policies of ``grantee``, and record the reason of each wildcard.

    :raises ConfigurationError: for a grantee of another account or without policies, where it would have no effect.
    """
    reasons = {resource: each.why for each in permissions for resource in each.resources if "*" in resource}
    acknowledge_wildcards_of(grantee, reasons)
    first, *rest = permissions
    grants = [
        grant_in_account(owner, grantee, actions=first.actions, resources=first.resources, conditions=first.conditions),
        *(_grant(grantee, each) for each in rest),
    ]
    return functools.reduce(iam.Grant.combine, grants)


def grant_in_account(
    owner: IConstruct,
    grantee: iam.IGrantable,
    *,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> iam.Grant:
    """Add a permission to the policies of ``grantee``.

    :raises ConfigurationError: for a grantee of another account or without policies, where it would have no effect.
    """
    grant = _grant(grantee, Permission(actions=actions, resources=resources, conditions=conditions))
    principal = grantee if isinstance(grantee, iam.Role) else grantee.grant_principal  # a role is its own
    account, own = principal.principal_account, Stack.of(owner).account
    foreign = account is not None and not is_token(account) and not is_token(own) and account != own
    if foreign or not grant.success:
        whose = f"is of account {account}" if foreign else "has no policies"
        raise ConfigurationError(
            f"{owner.node.path}: the grantee of {', '.join(actions)} {whose}; grant to a role of account {own}"
        )
    return grant


def _grant(grantee: iam.IGrantable, permission: Permission) -> iam.Grant:
    return iam.Grant.add_to_principal(
        grantee=grantee,
        actions=list(permission.actions),
        resource_arns=list(permission.resources),
        conditions=permission.conditions,
    )
