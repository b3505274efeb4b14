"""Exceptions from the compliance pack for wildcards that no policy can do without."""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

import jsii
from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import IConstruct, IValidation

from .._arguments import is_token

_ATTRIBUTE = "_mlplatform_late_acknowledgments"
_PARTITION = re.compile(r"\$\{Token\[AWS\.Partition[^]]*\]\}")


def acknowledge_wildcard(scope: IConstruct, resource: str, reason: str) -> None:
    """Except one resource with a wildcard from AwsSolutions-IAM5, for policies below ``scope``."""
    _acknowledge_wildcards(scope, {resource: reason})


def _acknowledge_wildcards(scope: IConstruct, reasons: Mapping[str, str]) -> None:
    """Except resources with wildcards, each with its reason.

    cdk-nag names a finding by the resource as the template spells it, which for a value of another stack is known only
    after all stacks are resolved. An id with a token fits no finding, so the exception is recorded then; the partition
    is spelt the same everywhere.
    """
    known = {}
    for resource, reason in reasons.items():
        found = _PARTITION.sub("<AWS::Partition>", resource)
        if is_token(found):
            _LateAcknowledgments.of(scope).add(resource, reason)
        else:
            known[found] = reason
    if known:
        _acknowledge(scope, known)


def acknowledge_objects(scope: IConstruct, bucket_arn: str, prefix: str) -> None:
    """Except the objects under ``prefix``, for policies below ``scope``. Any other wildcard is still a finding."""
    reason = "S3 names objects that do not exist yet by their prefix: one prefix of one bucket"
    acknowledge_wildcard(scope, f"{bucket_arn}/{prefix}", reason)


def acknowledge_granted_objects(grantee: iam.IGrantable, bucket: s3.IBucket, prefix: str) -> None:
    """The same for the policies of a grantee, in whichever stack they are."""
    if scope := _policies_of(grantee):
        acknowledge_objects(scope, bucket.bucket_arn, prefix)


def acknowledge_wildcards_of(grantee: iam.IGrantable, reasons: Mapping[str, str]) -> None:
    """Except resources with wildcards for the policies of a grantee, each with its reason."""
    if scope := _policies_of(grantee):
        _acknowledge_wildcards(scope, reasons)


def _policies_of(grantee: iam.IGrantable) -> IConstruct | None:
    """The construct that the policies of a grantee are below; None for a principal without policies of its own.

    A function or an instance is granted by its role, which is created next to it.
    """
    if isinstance(grantee, iam.Role):
        return grantee  # its own principal
    for each in (grantee.grant_principal, grantee):
        if getattr(each, "node", None):
            return cast(IConstruct, each)
    return None


@jsii.implements(IValidation)
class _LateAcknowledgments:
    """Acknowledges when stacks validate: references between them are resolved, the compliance pack runs later."""

    def __init__(self, scope: IConstruct) -> None:
        self._scope = scope
        self._reasons: dict[str, str] = {}

    @classmethod
    def of(cls, scope: IConstruct) -> "_LateAcknowledgments":
        """Those of a construct, kept with it: the object of an imported role takes no other attributes."""
        kept = scope.__dict__
        if _ATTRIBUTE not in kept:
            kept[_ATTRIBUTE] = cls(scope)
            scope.node.add_validation(kept[_ATTRIBUTE])
        return cast(_LateAcknowledgments, kept[_ATTRIBUTE])

    def add(self, resource: str, reason: str) -> None:
        self._reasons[resource] = reason

    @jsii.member(jsii_name="validate")
    def validate(self) -> list[str]:
        found = Stack.of(self._scope).resolve(list(self._reasons))
        reasons = zip(map(_as_found, found), self._reasons.values(), strict=True)
        _acknowledge(self._scope, dict(reasons))
        return []


def _acknowledge(scope: IConstruct, reasons: Mapping[str, str]) -> None:
    """:param reasons: by the resource as cdk-nag spells it."""
    Validations.of(scope).acknowledge(
        *(
            Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{found}]", reason=reason)
            for found, reason in reasons.items()
        )
    )


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
