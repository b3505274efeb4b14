"""Permissions that the roles of several kinds of jobs have in common."""

from aws_cdk import aws_iam as iam

from .._security.account_grant import Permission

DISK_KEY_ACTIONS = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)
"""What AWS does with the key of an encrypted disk.

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
"""


def passes_role(role: iam.IRole | iam.Role, service: str) -> Permission:
    """The permission to give exactly this role to exactly this service, and no other."""
    return Permission(
        actions=["iam:PassRole"],
        resources=[role.role_arn],
        conditions={"StringEquals": {"iam:PassedToService": service}},
    )
