import tomllib
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Match, Template

from releasing import wheels
from stacks.tools.packages import OWN_PACKAGES, PackagesStack
from tests.compliance import assert_complies

ROOT = Path(__file__).parents[3]
TOOLS = cdk.Environment(account="111111111111", region="eu-west-1")


def test_our_packages_are_those_that_are_built() -> None:
    built = {
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        for folder in wheels.DISTRIBUTIONS
    }
    assert set(OWN_PACKAGES) == built


def test_each_of_our_packages_is_published_here_only(app: cdk.App) -> None:
    template = Template.from_stack(PackagesStack(app, "Packages", env=TOOLS, domain_name="acme"))
    for name in OWN_PACKAGES:
        template.has_resource_properties("AWS::CodeArtifact::PackageGroup", {"Pattern": f"/pypi//{name}$"})


def test_the_accounts_of_the_platform_may_install(app: cdk.App) -> None:
    accounts = ["222222222222", "333333333333"]
    stack = PackagesStack(app, "Packages", env=TOOLS, domain_name="acme", reader_accounts=accounts)
    principals = {"AWS": [f"arn:aws:iam::{account}:root" for account in accounts]}
    Template.from_stack(stack).has_resource_properties(
        "AWS::CodeArtifact::Domain",
        {"PermissionsPolicyDocument": {"Statement": [Match.object_like({"Principal": principals})]}},
    )


@pytest.mark.promise("names-in-outputs")
def test_people_find_the_index_in_the_outputs(app: cdk.App) -> None:
    stack = PackagesStack(app, "Packages", env=TOOLS, domain_name="acme")
    Template.from_stack(stack).has_output("IndexUrl", {})


def test_passes_the_compliance_pack_without_credentials(app: cdk.App) -> None:
    PackagesStack(app, "Packages", env=TOOLS, domain_name="acme", reader_accounts=["222222222222"])
    assert_complies(app)
