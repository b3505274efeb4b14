from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from constructs import Construct


@dataclass(frozen=True)
class PersonTrust:
    """By what AWS knows that it is this person who takes a ``PersonRole``."""

    conditions: Mapping[str, Mapping[str, str]]
    """What the trust asks of whoever takes the role, as policies write it."""

    account: str | None = None
    """Whose users or roles they are. Default: this account's."""

    @classmethod
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
    def principal(cls, arn: str) -> Self:
        """An IAM user, who must have used a second factor, or a role that nobody else can take."""
        _, _, _, _, account, name = arn.split(":", 5)
        conditions = {"ArnEquals": {"aws:PrincipalArn": arn}}
        if name.startswith("user/"):
            conditions["Bool"] = {"aws:MultiFactorAuthPresent": "true"}
        return cls(conditions, account)


class PersonRole(iam.Role):
    """The role of one person in an account: what it does was done by that person, whom clusters know by ``email``.

    The trust names an account and narrows it by condition: a principal that is named directly must exist when the role
    is made, and would be forgotten when it is made anew.

    :param email: name of the person everywhere.
    :param trust: by what AWS knows the person.
    """

    PATH = "/mlplatform/people/"
    """All roles of people lie here, so that one permission to take them fits all; each asks who it is."""

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
