"""The exception from the compliance pack that every grant on objects needs."""

import json
from typing import Any, cast

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import IConstruct


def acknowledge_objects(scope: IConstruct, bucket_arn: Any, prefix: str) -> None:
    """Except one wildcard from AwsSolutions-IAM5, for policies below ``scope``: the objects under ``prefix``.

    S3 has no narrower way to name objects that are yet to come. Any other wildcard is still a finding.

    :param bucket_arn: as the template of the policy spells it.
    """
    Validations.of(scope).acknowledge(
        Acknowledgment(
            id=f"AwsSolutions-IAM5[Resource::{_as_found(bucket_arn)}/{prefix}]",
            reason="objects that are yet to come are named by their prefix: one prefix of one bucket",
        )
    )


def acknowledge_granted_objects(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str) -> None:
    """The same for a grant to somebody whose policies may be in another stack of the same account and region."""
    scope = cast(IConstruct | None, grantee if getattr(grantee, "node", None) else None)
    if scope is None:
        return  # a principal without policies of its own
    producer = Stack.of(bucket)
    arn = producer.resolve(bucket.bucket_arn)
    if not isinstance(arn, str) and Stack.of(scope) is not producer:
        arn = producer.resolve(producer.export_value(bucket.bucket_arn))
    acknowledge_objects(scope, arn, prefix)


def _as_found(arn: Any) -> str:
    """A CloudFormation value as cdk-nag spells it in the id of a finding."""
    match arn:
        case str():
            return arn
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Fn::ImportValue": str(name)}:
            return name
    return json.dumps(arn, separators=(",", ":"))
