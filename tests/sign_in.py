"""A load balancer and a user pool for tests, in an existing network and zone."""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53

from mlplatform_constructs import AccessLogBucket, PlatformLoadBalancer, PlatformUserPool

DOMAIN = "ml.example.com"
HOST = f"kubeflow.{DOMAIN}"
URL = f"https://{HOST}"
SIGN_IN = f"auth.{DOMAIN}"


def zone(stack: Stack) -> route53.IHostedZone:
    """The zone of the platform's domain."""
    found = stack.node.try_find_child("Zone")
    if found is None:
        return route53.PublicHostedZone.from_hosted_zone_attributes(
            stack, "Zone", hosted_zone_id="Z123456789", zone_name=DOMAIN
        )
    return found  # type: ignore[return-value]


def certificate(stack: Stack, region: str) -> acm.ICertificate:
    """An existing certificate."""
    arn = f"arn:aws:acm:{region}:111111111111:certificate/12345678-1234-1234-1234-123456789012"
    return acm.Certificate.from_certificate_arn(stack, f"Certificate-{region}", arn)


def network(stack: Stack) -> ec2.IVpc:
    """A VPC with a public and a private subnet in each of two zones."""
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=["eu-west-1a", "eu-west-1b"],
        public_subnet_ids=["public-a", "public-b"],
        private_subnet_ids=["private-a", "private-b"],
    )


def load_balancer(stack: Stack, **options: Any) -> PlatformLoadBalancer:
    """A load balancer without rules."""
    return PlatformLoadBalancer(
        stack,
        "LoadBalancer",
        **{
            "vpc": network(stack),
            "host_name": HOST,
            "hosted_zone": zone(stack),
            "certificate": certificate(stack, "eu-west-1"),
            "access_logs": AccessLogBucket(stack, "AccessLogs"),
            **options,
        },
    )


def user_pool(stack: Stack, **options: Any) -> PlatformUserPool:
    """A user pool with native users."""
    return PlatformUserPool(
        stack,
        "Users",
        **{
            "platform_url": URL,
            "domain_name": SIGN_IN,
            "certificate": certificate(stack, "us-east-1"),
            "hosted_zone": zone(stack),
            **options,
        },
    )
