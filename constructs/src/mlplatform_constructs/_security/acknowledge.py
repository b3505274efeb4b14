"""Exceptions from the compliance pack for wildcards that no policy can do without."""

import json
import re
from typing import Any, cast

import jsii
from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import IConstruct, IValidation

from .._arguments import is_token

_PARTITION = re.compile(r"\$\{Token\[AWS\.Partition[^]]*\]\}")


def acknowledge_wildcard(scope: IConstruct, resource: str, reason: str) -> None:
    """Except one resource with a wildcard from AwsSolutions-IAM5, for policies below ``scope``.

    cdk-nag names a finding by the resource as the template spells it, which for a value of another stack is known only
    after all stacks are resolved. An id with a token fits no finding, so the exception is recorded then; the partition
    is spelt the same everywhere.
    """
    found = _PARTITION.sub("<AWS::Partition>", resource)
    if is_token(found):
        scope.node.add_validation(_LateAcknowledgment(scope, resource, reason))
    else:
        _acknowledge(scope, found, reason)


def acknowledge_objects(scope: IConstruct, bucket_arn: str, prefix: str) -> None:
    """Except the objects under ``prefix``, for policies below ``scope``. Any other wildcard is still a finding."""
    reason = "S3 names objects that do not exist yet by their prefix: one prefix of one bucket"
    acknowledge_wildcard(scope, f"{bucket_arn}/{prefix}", reason)


def acknowledge_granted_objects(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str) -> None:
    """The same for the policies of a grantee, in whichever stack they are."""
    if scope := _policies_of(grantee):
        acknowledge_objects(scope, bucket.bucket_arn, prefix)


def acknowledge_wildcard_of(grantee: iam.IGrantable, resource: str, reason: str) -> None:
    """Except one resource with a wildcard for the policies of a grantee."""
    if scope := _policies_of(grantee):
        acknowledge_wildcard(scope, resource, reason)


def _policies_of(grantee: iam.IGrantable) -> IConstruct | None:
    """The construct that the policies of a grantee are below; None for a principal without policies of its own.

    A function or an instance is granted by its role, which is created next to it.
    """
    for each in (grantee.grant_principal, grantee):
        if getattr(each, "node", None):
            return cast(IConstruct, each)
    return None


@jsii.implements(IValidation)
class _LateAcknowledgment:
    """Acknowledges when stacks validate: references between them are resolved, the compliance pack runs later."""

    def __init__(self, scope: IConstruct, resource: str, reason: str) -> None:
        self._scope, self._resource, self._reason = scope, resource, reason

    @jsii.member(jsii_name="validate")
    def validate(self) -> list[str]:
        _acknowledge(self._scope, _as_found(Stack.of(self._scope).resolve(self._resource)), self._reason)
        return []


def _acknowledge(scope: IConstruct, found: str, reason: str) -> None:
    Validations.of(scope).acknowledge(Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{found}]", reason=reason))


def _as_found(value: Any) -> str:
    """A CloudFormation value as cdk-nag spells it in the id of a finding."""
    match value:
        case str():
            return value.replace("${", "<").replace("}", ">")
        case {"Fn::Join": [str(delimiter), list(items)]}:
            return delimiter.join(map(_as_found, items))
        case {"Fn::Sub": text} | {"Fn::ImportValue": text}:
            return _as_found(text)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{_as_found(resource)}.{_as_found(attribute)}>"
        case {"Ref": name}:
            return f"<{_as_found(name)}>"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
