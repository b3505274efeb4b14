"""Exceptions from the compliance pack fit their findings, wherever the values of a policy come from."""

from collections.abc import Callable
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template
from cdk_nag import AwsSolutionsChecks

from mlplatform_constructs import DataBucket
from stacks.app import new_app
from tests.compliance import assert_complies
from tests.library.everything import add_everything

PLACE = cdk.Environment(account="111111111111", region="eu-west-1")


def role(scope: cdk.Stack) -> iam.Role:
    return iam.Role(scope, "Reader", assumed_by=iam.AccountRootPrincipal())


def test_a_prefix_may_be_a_parameter(app: cdk.App, stack: cdk.Stack) -> None:
    team = cdk.CfnParameter(stack, "Team").value_as_string
    DataBucket(stack, "Data").grant_read(role(stack), f"{team}/*")
    assert_complies(app)  # the compliance pack finds the wildcard, and its exception


def test_a_role_may_be_in_another_stack(app: cdk.App, stack: cdk.Stack) -> None:
    other = cdk.Stack(app, "Other", env=PLACE)
    bucket = DataBucket(stack, "Data")
    bucket.grant_read(role(other), "churn/*")
    app.synth()
    exports = Template.from_stack(stack).to_json()["Outputs"]
    imported = str(Template.from_stack(other).to_json())
    assert all(each["Export"]["Name"] in imported for each in exports.values())


def test_an_exception_makes_no_export(stack: cdk.Stack, app: cdk.App) -> None:
    other = cdk.Stack(app, "Other", env=PLACE)
    known = iam.Role.from_role_arn(other, "Known", "arn:aws:iam::111111111111:role/known", mutable=False)
    DataBucket(stack, "Data").grant_read(known, "churn/*")
    app.synth()
    assert "Outputs" not in Template.from_stack(stack).to_json()


def test_a_role_may_be_in_a_nested_stack(app: cdk.App, stack: cdk.Stack) -> None:
    nested = cdk.NestedStack(stack, "Nested")
    reader = iam.Role(nested, "Reader", assumed_by=iam.AccountRootPrincipal())
    DataBucket(stack, "Data").grant_read(reader, "churn/*")
    app.synth()
    assert "Export" not in str(Template.from_stack(stack).to_json().get("Outputs", {}))


def test_a_bucket_may_be_in_a_nested_stack(app: cdk.App, stack: cdk.Stack) -> None:
    nested = cdk.NestedStack(stack, "Nested")
    DataBucket(nested, "Data").grant_read(role(stack), "churn/*")
    assert_complies(app)


def _agnostic_without_flags(outdir: str) -> cdk.Stack:
    app = cdk.App(outdir=outdir)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
    return cdk.Stack(app, "Anywhere")


def _nested_with_flags(outdir: str) -> cdk.Stack:
    return cdk.NestedStack(cdk.Stack(new_app(outdir=outdir), "Parent", env=PLACE), "Nested")


@pytest.mark.parametrize("stack_of", [_agnostic_without_flags, _nested_with_flags])
def test_every_construct_fits_into_any_app(tmp_path: Path, stack_of: Callable[[str], cdk.Stack]) -> None:
    """Without flags and with those of ``cdk init``, without account and Region and with both, nested and not."""
    stack = stack_of(str(tmp_path / "cdk.out"))
    add_everything(stack)
    app = stack.node.root
    assert isinstance(app, cdk.App)
    app.synth()
