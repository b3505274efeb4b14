"""What the functions behind custom resources have in common."""

from pathlib import Path

from aws_cdk import IgnoreMode
from aws_cdk import aws_lambda as lambda_

LIBRARY = Path(__file__).parent
SHARED = ("handlers/__init__.py", "handlers/custom_resource.py")
"""What comes along with each handler."""
NETWORK_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What a function in a VPC needs. https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html"""


def handler_code(name: str) -> lambda_.AssetCode:
    """The folder ``handlers/<name>`` and what all share, importable as here: the function is
    ``handlers.<name>.index.handler``.
    """
    wanted = ("handlers", *SHARED, f"handlers/{name}", f"handlers/{name}/*.py")
    return lambda_.Code.from_asset(
        str(LIBRARY), exclude=["*", *(f"!{path}" for path in wanted)], ignore_mode=IgnoreMode.GIT
    )
