"""What every grant on the objects of a bucket has in common."""

from collections.abc import Mapping

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

from .._arguments import ConfigurationError, is_token
from .._security.acknowledge import acknowledge_granted_objects


def check_prefix(owner: IConstruct, prefix: str) -> None:
    """Refuse a prefix that no key can have, or that accidentally means everything."""
    if not prefix or prefix.startswith("/"):
        raise ConfigurationError(
            f"{owner.node.path}: prefix must not be empty or start with '/', got {prefix!r}; "
            "'team/*' names what is under 'team/', '*' everything"
        )
    if "*" not in prefix and not is_token(prefix):
        raise ConfigurationError(
            f"{owner.node.path}: prefix must end with '*', got {prefix!r}, which is one object; "
            f"use '{prefix.rstrip('/')}/*' for what is under it"
        )


def grant_read_objects(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str, *, listing: bool = True) -> iam.Grant:
    """Allow ``grantee`` to list and read objects under ``prefix``; the caller grants the key."""
    under_prefix = None if prefix == "*" else {"StringLike": {"s3:prefix": [prefix]}}
    reading = grant_objects(grantee, bucket, prefix, "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging")
    if not listing:
        return reading
    names = _grant_bucket(grantee, bucket, "s3:ListBucket", under_prefix)
    return reading.combine(names).combine(_grant_bucket(grantee, bucket, "s3:GetBucketLocation"))


def grant_list_objects(grantee: iam.IGrantable, bucket: s3.IBucket) -> iam.Grant:
    """Allow ``grantee`` to list all objects, by which clients also check that a bucket exists."""
    names = _grant_bucket(grantee, bucket, "s3:ListBucket")
    return names.combine(_grant_bucket(grantee, bucket, "s3:GetBucketLocation"))


def grant_objects(
    grantee: iam.IGrantable,
    bucket: s3.IBucket,
    prefix: str,
    *actions: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> iam.Grant:
    """Allow ``grantee`` these actions on objects under ``prefix``; the bucket's policy allows other accounts' roles."""
    acknowledge_granted_objects(grantee, bucket, prefix)
    return _grant(grantee, bucket, list(actions), bucket.arn_for_objects(prefix), conditions)


def _grant_bucket(
    grantee: iam.IGrantable,
    bucket: s3.IBucket,
    action: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> iam.Grant:
    return _grant(grantee, bucket, [action], bucket.bucket_arn, conditions)


def _grant(
    grantee: iam.IGrantable,
    bucket: s3.IBucket,
    actions: list[str],
    arn: str,
    conditions: Mapping[str, Mapping[str, object]] | None,
) -> iam.Grant:
    """The CDK's grant for roles of other accounts leaves conditions out of the bucket's policy."""
    if not conditions:
        return iam.Grant.add_to_principal_or_resource(
            grantee=grantee, actions=actions, resource_arns=[arn], resource=bucket
        )
    grant = iam.Grant.add_to_principal(grantee=grantee, actions=actions, resource_arns=[arn], conditions=conditions)
    principal = grantee if isinstance(grantee, iam.Role) else grantee.grant_principal  # a role is its own
    account, own = principal.principal_account, bucket.env.account
    if not grant.success or (account and account != own and not is_token(account) and not is_token(own)):
        bucket.add_to_resource_policy(
            iam.PolicyStatement(principals=[principal], actions=actions, resources=[arn], conditions=conditions)
        )
    return grant
