"""AWS services as principals of trust and resource policies, limited to the account of the stack."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import IConstruct

_KEYS = {"firehose.amazonaws.com": "sts:ExternalId"}
"""Firehose passes the account as external id. https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html"""
WITHOUT_SOURCE = ("ec2.amazonaws.com", "lambda.amazonaws.com", "s3.amazonaws.com")
"""Services whose requests for a role carry no source account: a condition on it would lock them out."""


def service_principal(scope: IConstruct, service: str) -> iam.ServicePrincipal:
    """The service, acting on behalf of this account only, so that no other account can make it act here.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html#cross-service-confused-deputy-prevention

    :param service: such as ``codebuild.amazonaws.com``.
    """
    if service in WITHOUT_SOURCE:
        return iam.ServicePrincipal(service)
    account = Stack.of(scope).account
    return iam.ServicePrincipal(
        service, conditions={"StringEquals": {_KEYS.get(service, "aws:SourceAccount"): account}}
    )
