from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from .._arguments import check_arns, checked
from .._security.acknowledge import acknowledge_wildcard


@dataclass(frozen=True)
class PersonTrust:
    """The conditions by which AWS identifies the person of a ``PersonRole``."""

    conditions: Mapping[str, Mapping[str, str]]
    """Conditions of the trust policy."""

    account: str | None = None
    """Account of the users or roles. Default: this account."""

    @classmethod
    @checked
    def center(cls, *, permission_set: str, user_name: str) -> Self:
        """The sessions of one user of IAM Identity Center, by a permission set in this account.

        Such a session bears the user's name, which the user cannot choose.

        https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
        """
        role = f"role/aws-reserved/sso.amazonaws.com/*AWSReservedSSO_{permission_set}_*"
        return cls(
            {"ArnLike": {"aws:PrincipalArn": f"arn:*:iam::*:{role}"}, "StringLike": {"aws:userid": f"*:{user_name}"}}
        )

    @classmethod
    @checked
    def principal(cls, arn: str) -> Self:
        """An IAM user, who must have used a second factor, or a role that no other principal can assume."""
        check_arns("trust", "arn", [arn], service="iam", resources=["role/", "user/"])
        _, _, _, _, account, name = arn.split(":", 5)
        conditions = {"ArnEquals": {"aws:PrincipalArn": arn}}
        if name.startswith("user/"):
            conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
        return cls(conditions, account)


class PersonRole(iam.Role):
    """The IAM role of one person, so that its actions are that person's; clusters know the person as ``email``.

    The trust policy names an account and narrows it by conditions: a principal that is named directly must exist when
    the role is created, and loses access when it is deleted and created again.

    :param email: name of the person everywhere.
    :param trust: by what AWS knows the person.
    """

    PATH = "/mlplatform/people/"
    """All roles of people lie here, so that one permission to take them fits all; each asks who it is."""

    @checked
    def __init__(self, scope: Construct, id: str, *, email: str, trust: PersonTrust) -> None:
        account = iam.AccountPrincipal(trust.account) if trust.account else iam.AccountRootPrincipal()
        super().__init__(
            scope,
            id,
            path=self.PATH,
            description=f"{email} on the platform",
            assumed_by=account.with_conditions(trust.conditions),
            max_session_duration=Duration.hours(8),
        )
        self.email = email

    @checked
    def grant_find_clusters(self) -> iam.Grant:
        """Allow the person what ``aws eks update-kubeconfig`` calls, for every cluster of the account.

        It shows the address of a cluster; access entries decide about everything in it.
        """
        clusters = Stack.of(self).format_arn(service="eks", resource="cluster", resource_name="*")
        acknowledge_wildcard(self, clusters, "the address of any cluster, and nothing of what is in it")
        return iam.Grant.add_to_principal(grantee=self, actions=["eks:DescribeCluster"], resource_arns=[clusters])
