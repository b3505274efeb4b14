"""Permissions that the roles of several kinds of jobs have in common."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from .._arguments import ConfigurationError, is_token
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


def check_log_prefix(scope: Construct, prefix: str) -> None:
    """:raises ConfigurationError: for a prefix whose permission would include other folders, or the whole bucket."""
    if not is_token(prefix) and (not prefix.endswith("/") or prefix.startswith("/") or "*" in prefix):
        raise ConfigurationError(f"{scope.node.path}: log_prefix must be such as 'emr/', got {prefix!r}")
