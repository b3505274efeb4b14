"""What every grant on the objects of a bucket has in common."""

from collections.abc import Mapping

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from ._acknowledge import acknowledge_granted_objects


def check_prefix(place: str, prefix: str) -> None:
    """Refuse a prefix that no key can have, or that means everything by mistake.

    :param place: path of the construct that was asked for the grant.
    """
    if not prefix or prefix.startswith("/"):
        raise ValueError(
            f"{place}: prefix must not be empty or start with '/', got {prefix!r}; "
            "'team/*' names what is under 'team/', '*' everything"
        )


def grant_read_objects(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str) -> iam.Grant:
    """Let ``grantee`` list and read objects under ``prefix``; a key is opened by whoever owns it."""
    under_prefix = None if prefix == "*" else {"StringLike": {"s3:prefix": [prefix]}}
    reading = grant_objects(grantee, bucket, prefix, "s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging")
    listing = _grant_bucket(grantee, bucket, "s3:ListBucket", under_prefix)
    return reading.combine(listing).combine(_grant_bucket(grantee, bucket, "s3:GetBucketLocation"))


def grant_objects(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str, *actions: str) -> iam.Grant:
    """Let ``grantee`` do ``actions`` on objects under ``prefix``."""
    acknowledge_granted_objects(grantee, bucket, prefix)
    return iam.Grant.add_to_principal_or_resource(
        grantee=grantee, actions=list(actions), resource_arns=[bucket.arn_for_objects(prefix)], resource=bucket
    )


def _grant_bucket(
    grantee: iam.IGrantable,
    bucket: s3.IBucket,
    action: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> iam.Grant:
    return iam.Grant.add_to_principal_or_resource(
        grantee=grantee, actions=[action], resource_arns=[bucket.bucket_arn], resource=bucket, conditions=conditions
    )
