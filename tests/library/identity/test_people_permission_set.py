import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import PeoplePermissionSet, PersonRole
from tests.compliance import assert_complies

INSTANCE = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
GROUPS = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"]


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    PeoplePermissionSet(stack, "Set", instance_arn=INSTANCE, name="MLPlatform", group_ids=GROUPS)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


@pytest.mark.promise("identity-center")
def test_it_allows_only_to_assume_roles_of_people(stack: cdk.Stack) -> None:
    PeoplePermissionSet(stack, "Set", instance_arn=INSTANCE, name="MLPlatform")
    (found,) = Template.from_stack(stack).find_resources("AWS::SSO::PermissionSet").values()
    (statement,) = found["Properties"]["InlinePolicy"]["Statement"]
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Resource"] == f"arn:aws:iam::111111111111:role{PersonRole.PATH}*"
    assert "ManagedPolicies" not in found["Properties"]


@pytest.mark.promise("identity-center")
def test_each_group_gets_it_in_this_account_alone(stack: cdk.Stack) -> None:
    PeoplePermissionSet(stack, "Set", instance_arn=INSTANCE, name="MLPlatform", group_ids=GROUPS)
    found = Template.from_stack(stack).find_resources("AWS::SSO::Assignment").values()
    assert {each["Properties"]["PrincipalId"] for each in found} == set(GROUPS)
    assert {each["Properties"]["TargetId"] for each in found} == {"111111111111"}


def test_refuses_a_name_that_is_too_long(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match="Test/Set: name must be at most 32 characters, got xxxxx"):
        PeoplePermissionSet(stack, "Set", instance_arn=INSTANCE, name="x" * 33)


def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack) -> None:
    PeoplePermissionSet(stack, "Set", instance_arn=INSTANCE, name="MLPlatform", group_ids=GROUPS)
    assert_complies(app)
