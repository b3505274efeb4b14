"""Which Region a certificate is in."""

from aws_cdk import Stack
from aws_cdk import aws_certificatemanager as acm

from .._arguments import ConfigurationError, is_token

CLOUDFRONT_REGION = "us-east-1"
"""The Region of CloudFront's certificates, regardless of the Region of their users."""


def check_region_of(certificate: acm.ICertificate, place: str, region: str, why: str) -> None:
    """Refuse a certificate of another Region; one whose Region is not known yet passes.

    :param place: path of the construct that takes it.
    """
    arn = certificate.certificate_arn
    if not is_token(arn):
        found = (arn.split(":") + [""] * 4)[3]
    elif isinstance(certificate, acm.Certificate):
        found = Stack.of(certificate).region
    else:
        return  # imported by a reference to another stack
    if not is_token(region) and not is_token(found) and found != region:
        raise ConfigurationError(f"{place}: certificate must be in {region}, got {found or arn}; {why}")
