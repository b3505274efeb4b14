from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_sso as sso
from constructs import Construct

from .._arguments import ConfigurationError, checked
from .person_role import PersonRole


class PeoplePermissionSet(Construct):
    """A permission set of IAM Identity Center that lets people take their own ``PersonRole`` here, and nothing else.

    The account must administer the instance: it is the organization's management account or its delegate.

    :param instance_arn: the instance.
    :param name: name of the permission set, at most 32 characters; another name is another permission set.
    :param group_ids: groups of the instance's directory that get it in this account.
    """

    @checked
    def __init__(
        self, scope: Construct, id: str, *, instance_arn: str, name: str, group_ids: Sequence[str] = ()
    ) -> None:
        super().__init__(scope, id)
        if len(name) > 32:
            raise ConfigurationError(f"{self.node.path}: name must be at most 32 characters, got {name}")
        stack = Stack.of(self)
        roles = f"arn:{stack.partition}:iam::{stack.account}:role{PersonRole.PATH}*"
        self.permission_set = sso.CfnPermissionSet(
            self,
            "PermissionSet",
            instance_arn=instance_arn,
            name=name,
            description="People take their own role of the machine-learning platform",
            session_duration="PT8H",
            inline_policy={
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}],
            },
        )
        for group_id in group_ids:
            sso.CfnAssignment(
                self,
                group_id,
                instance_arn=instance_arn,
                permission_set_arn=self.permission_set.attr_permission_set_arn,
                principal_id=group_id,
                principal_type="GROUP",
                target_id=stack.account,
                target_type="AWS_ACCOUNT",
            )
