import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import PersonRole, PersonTrust
from tests.policies import Statement, allows

ANA = "ana@example.com"
CENTER = PersonTrust.center(permission_set="MLPlatform", user_name=ANA)
SSO = (
    "arn:aws:iam::111111111111:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_MLPlatform_0123456789abcdef"
)


def trust(stack: cdk.Stack, who: PersonTrust) -> Statement:
    """What the role of Ana asks of whoever takes it."""
    PersonRole(stack, "Ana", email=ANA, trust=who)
    (role,) = Template.from_stack(stack).find_resources("AWS::IAM::Role").values()
    (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    return {**statement, "Resource": "*"}


def may(statement: Statement, principal: str, user: str, **more: str) -> bool:
    statement = {name: value for name, value in statement.items() if name != "Principal"}
    return allows([statement], "sts:AssumeRole", "*", aws__PrincipalArn=principal, aws__userid=user, **more)


def test_defaults(stack: cdk.Stack, snapshot_json: SnapshotAssertion) -> None:
    PersonRole(stack, "Ana", email=ANA, trust=CENTER)
    assert Template.from_stack(stack).to_json()["Resources"] == snapshot_json


def test_only_the_persons_own_session_takes_it(stack: cdk.Stack) -> None:
    """Row 60."""
    statement = trust(stack, CENTER)
    assert may(statement, SSO, f"AROAEXAMPLE:{ANA}")
    assert not may(statement, SSO, "AROAEXAMPLE:ben@example.com")
    assert not may(statement, SSO, f"AROAEXAMPLE:x{ANA}x")
    assert not may(statement, SSO.replace("MLPlatform", "Other"), f"AROAEXAMPLE:{ANA}")
    # Somebody who may name sessions of another role cannot become Ana by naming one so.
    assert not may(statement, "arn:aws:iam::111111111111:role/AWSReservedSSO_MLPlatform_x", f"AROAEXAMPLE:{ANA}")


def test_an_iam_user_needs_a_second_factor(stack: cdk.Stack) -> None:
    user = "arn:aws:iam::222222222222:user/ana"
    statement = trust(stack, PersonTrust.principal(user))
    assert statement["Principal"] == {"AWS": "arn:aws:iam::222222222222:root"}
    assert may(statement, user, "AIDAEXAMPLE", aws__MultiFactorAuthPresent="true")
    assert not may(statement, user, "AIDAEXAMPLE", aws__MultiFactorAuthPresent="false")
    assert not may(statement, user, "AIDAEXAMPLE")
    assert not may(statement, f"{user}2", "AIDAEXAMPLE", aws__MultiFactorAuthPresent="true")


def test_a_role_of_ones_own_asks_for_itself(stack: cdk.Stack) -> None:
    role = "arn:aws:iam::111111111111:role/federated/ana"
    statement = trust(stack, PersonTrust.principal(role))
    assert may(statement, role, "AROAEXAMPLE:session")
    assert "Bool" not in statement["Condition"]


@pytest.mark.parametrize("who", [CENTER, PersonTrust.principal("arn:aws:iam::111111111111:role/ana")])
def test_passes_the_compliance_pack(app: cdk.App, stack: cdk.Stack, who: PersonTrust) -> None:
    PersonRole(stack, "Ana", email=ANA, trust=who)
    app.synth()
