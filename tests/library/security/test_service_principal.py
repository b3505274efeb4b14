"""A principal outside the account cannot make an AWS service use its resources (the confused deputy)."""

from collections.abc import Iterator
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from mlplatform_constructs._security.service_principal import WITHOUT_SOURCE, service_principal
from stacks.app import new_app
from tests.library.everything import add_everything, public_constructs
from tests.policies import many

HOLDING = ("aws:SourceAccount", "aws:SourceArn", "sts:ExternalId", "kms:EncryptionContext:aws:logs:arn")
"""Condition keys by which a policy names the account, or a resource of it, that a service works for."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> cdk.Stack:
    app = new_app(outdir=str(tmp_path_factory.mktemp("everything") / "cdk.out"))
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    add_everything(stack)
    return stack


@pytest.fixture(scope="module")
def resources(everything: cdk.Stack) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = Template.from_stack(everything).to_json()["Resources"]
    return found


def statements(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every statement of every policy that the resource carries itself."""
    for name in ("AssumeRolePolicyDocument", "PolicyDocument", "KeyPolicy", "ResourcePolicy", "FileSystemPolicy"):
        document = properties.get(name)
        if isinstance(document, dict):
            yield from document["Statement"]


def test_the_walk_sees_every_construct(everything: cdk.Stack) -> None:
    there = {type(node) for node in everything.node.find_all()}
    assert not {each.__name__ for each in public_constructs() - there}


def test_a_service_acts_for_this_account_only(resources: dict[str, dict[str, Any]]) -> None:
    services, loose = set(), []
    for id, resource in resources.items():
        for statement in statements(resource["Properties"]):
            principals = statement.get("Principal", {})
            if statement["Effect"] == "Deny" or not isinstance(principals, dict):
                continue
            named = [str(each) for each in many(principals.get("Service", []))]
            services |= set(named)
            keys = {key for tests in statement.get("Condition", {}).values() for key in tests}
            of_this_account = "AWSLogs/111111111111/" in str(statement.get("Resource"))
            if not keys & set(HOLDING) and not of_this_account:
                loose += [f"{id}: {service}" for service in named if service not in WITHOUT_SOURCE]
    assert not loose
    assert len(services) > 8


def test_functions_are_called_for_this_account_only(resources: dict[str, dict[str, Any]]) -> None:
    permissions = {
        id: resource["Properties"]
        for id, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Permission"
    }
    assert permissions
    assert not [id for id, each in permissions.items() if not each.get("SourceAccount") and not each.get("SourceArn")]


@pytest.mark.parametrize("service", WITHOUT_SOURCE)
def test_a_service_that_names_no_source_is_not_locked_out(stack: cdk.Stack, service: str) -> None:
    role = cdk.aws_iam.Role(stack, "Role", assumed_by=service_principal(stack, service))
    (found,) = Template.from_stack(role.stack).find_resources("AWS::IAM::Role").values()
    assert "Condition" not in found["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]
