import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import PersonRole, PersonTrust
from tests.compliance import assert_complies
from tests.policies import Statement, allows

ANA = "ana@example.com"
CENTER = PersonTrust.center(permission_set="MLPlatform", user_name=ANA)
SSO = (
    "arn:aws:iam::111111111111:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_MLPlatform_0123456789abcdef"
)


def trust(stack: cdk.Stack, who: PersonTrust) -> Statement:
    """The conditions in the trust policy of Ana's role."""
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


@pytest.mark.promise("identity-center")
def test_only_the_persons_own_session_can_assume_it(stack: cdk.Stack) -> None:
    statement = trust(stack, CENTER)
    assert may(statement, SSO, f"AROAEXAMPLE:{ANA}")
    assert not may(statement, SSO, "AROAEXAMPLE:ben@example.com")
    assert not may(statement, SSO, f"AROAEXAMPLE:x{ANA}x")
    assert not may(statement, SSO.replace("MLPlatform", "Other"), f"AROAEXAMPLE:{ANA}")
    # A principal that names its session of another role after Ana does not become Ana.
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
    assert_complies(app)


@pytest.mark.parametrize("region", ["eu-west-1", None])
def test_a_person_finds_clusters_and_nothing_in_them(app: cdk.App, region: str | None) -> None:
    environment = cdk.Environment(account="111111111111", region=region) if region else None
    stack = cdk.Stack(app, "Somewhere", env=environment)
    PersonRole(stack, "Ana", email=ANA, trust=CENTER).grant_find_clusters().assert_success()
    (policy,) = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "eks:DescribeCluster"
    assert "cluster/*" in str(statement["Resource"])
    app.synth()  # its wildcard has an exception, though parts of the ARN are tokens
