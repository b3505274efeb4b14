from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from mlplatform_constructs._identity.sign_in_gate_handler import index
from mlplatform_constructs._identity.sign_in_gate_handler.index import Refused, handler
from tests.policies import allows, identity_statements
from tests.sign_in import user_pool


@pytest.fixture(scope="module")
def parameter(aws: Callable[[str], Any]) -> str:
    aws("ssm").put_parameter(Name="addresses", Type="String", Value="guest@elsewhere.org,other@elsewhere.org")
    return "addresses"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, aws: Callable[[str], Any], parameter: str) -> None:
    monkeypatch.setattr(index.boto3, "client", aws)
    index._addresses.cache_clear()
    monkeypatch.setenv("ALLOWED_DOMAINS", '["example.com"]')
    monkeypatch.setenv("ADDRESS_PARAMETERS", f'["{parameter}"]')
    monkeypatch.setenv("PROVING_PROVIDERS", '["Google"]')


def event(source: str, user: str = "3f1c", **attributes: str) -> dict[str, Any]:
    return {"triggerSource": source, "userName": user, "request": {"userAttributes": attributes}, "response": {}}


@pytest.mark.promise("sign-in-providers")
@pytest.mark.parametrize("address", ["ana@example.com", "ANA@EXAMPLE.COM", "guest@elsewhere.org"])
def test_addresses_of_a_domain_and_listed_ones_get_in(address: str) -> None:
    asked = event("PreSignUp_SignUp", email=address)
    assert handler(asked, None) == event("PreSignUp_SignUp", email=address)


@pytest.mark.parametrize(
    "address",
    ["ana@example.org", "ana@example.com.evil.org", "ana@sub.example.com", "example.com", "@example.org", "", "guest"],
)
@pytest.mark.parametrize(
    ("source", "user"),
    [
        ("PreSignUp_SignUp", "3f1c"),
        ("PreSignUp_ExternalProvider", "Google_123"),
        ("TokenGeneration_HostedAuth", "3f1c"),
        ("TokenGeneration_RefreshTokens", "corporate_ana"),
    ],
)
def test_other_addresses_are_always_refused(address: str, source: str, user: str) -> None:
    with pytest.raises(Refused, match="this email address may not sign in"):
        handler(event(source, user, email=address, email_verified="true"), None)


def test_users_without_an_address_are_refused() -> None:
    with pytest.raises(Refused):
        handler(event("PreSignUp_ExternalProvider", "corporate_ana"), None)


@pytest.mark.promise("sign-in-providers")
@pytest.mark.parametrize("said", [{}, {"email_verified": "false"}, {"email_verified": "False"}])
@pytest.mark.parametrize(
    ("source", "user"),
    [
        ("TokenGeneration_HostedAuth", "3f1c"),
        ("PreSignUp_ExternalProvider", "Google_123"),
        ("TokenGeneration_HostedAuth", "google_123"),
    ],
)
def test_an_address_that_was_never_confirmed_gives_no_rights(source: str, user: str, said: dict[str, str]) -> None:
    """Otherwise a user could claim another person's name."""
    with pytest.raises(Refused, match="never confirmed"):
        handler(event(source, user, email="ana@example.com", **said), None)


def test_an_unconfirmed_address_gives_no_rights_where_every_address_may_sign_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALLOWED_DOMAINS", "null")
    with pytest.raises(Refused, match="never confirmed"):
        handler(event("TokenGeneration_HostedAuth", email="ana@elsewhere.org"), None)


@pytest.mark.promise("identity-in-mesh")
@pytest.mark.parametrize("domains", ['["example.com"]', "null"], ids=["listed domains", "every domain"])
def test_an_access_token_carries_the_confirmed_address(monkeypatch: pytest.MonkeyPatch, domains: str) -> None:
    """Cognito's own access tokens contain no user name."""
    monkeypatch.setenv("ALLOWED_DOMAINS", domains)
    passed = handler(event("TokenGeneration_HostedAuth", email="Ana@example.com", email_verified="true"), None)
    claims = {"claimsToAddOrOverride": {"email": "ana@example.com"}}
    assert passed["response"] == {"claimsAndScopeOverrideDetails": {"accessTokenGeneration": claims}}


@pytest.mark.parametrize("user", ["corporate_ana", "corporate_a_b@example.com"])
def test_an_enterprise_provider_is_trusted_for_its_own_addresses(user: str) -> None:
    asked = event("TokenGeneration_HostedAuth", user, email="ana@example.com", email_verified="false")
    assert handler(asked, None) is asked


def test_administrators_may_make_any_user_but_the_user_gets_no_token() -> None:
    address = {"email": "ana@elsewhere.org", "email_verified": "true"}
    asked = event("PreSignUp_AdminCreateUser", **address)
    assert handler(asked, None) is asked
    with pytest.raises(Refused):
        handler(event("TokenGeneration_Authentication", **address), None)


def test_sign_in_fails_while_the_list_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDRESS_PARAMETERS", '["gone"]')
    with pytest.raises(RuntimeError, match="no parameter gone; deploy the user pool again"):
        handler(event("PreSignUp_SignUp", email="guest@elsewhere.org"), None)


def lists(stack: cdk.Stack, addresses: list[str]) -> list[str]:
    user_pool(stack, allowed_email_domains=["Example.com"], allowed_addresses=addresses)
    found = Template.from_stack(stack).find_resources("AWS::SSM::Parameter").values()
    return [each["Properties"]["Value"] for each in found]


def test_addresses_of_a_listed_domain_are_not_stored(stack: cdk.Stack) -> None:
    assert lists(stack, [f"person{number}@EXAMPLE.com" for number in range(5000)]) == []


def test_more_people_than_an_environment_holds_may_sign_in(stack: cdk.Stack) -> None:
    addresses = [f"somebody.with.a.long.name.{number}@subsidiary{number % 3}.example.org" for number in range(700)]
    found = lists(stack, addresses)
    assert len(found) > 5
    assert max(map(len, found)) <= 4096
    assert sorted(",".join(found).split(",")) == sorted(addresses)
    template = Template.from_stack(stack)
    (function,) = template.find_resources("AWS::Lambda::Function").values()
    parameters = template.find_resources("AWS::SSM::Parameter")
    assert set(parameters) <= set(str(function["Properties"]["Environment"]["Variables"]).split("'"))
    role = function["Properties"]["Role"]["Fn::GetAtt"][0]
    statements = identity_statements(template, role)
    for id in parameters:
        assert allows(statements, "ssm:GetParameters", f"arn:aws:ssm:eu-west-1:111111111111:parameter/<{id}>")


def test_a_changed_list_restarts_the_function(app: cdk.App) -> None:
    found = []
    for number in range(2):
        stack = cdk.Stack(app, f"Stack{number}")
        user_pool(stack, allowed_email_domains=["example.com"], allowed_addresses=[f"guest{number}@example.org"])
        found.append(stack)
    texts = [str(Template.from_stack(stack).find_resources("AWS::Lambda::Function")) for stack in found]
    assert len({text.partition("REVISION")[2][:25] for text in texts}) == 2


def test_refuses_more_addresses_than_fit(stack: cdk.Stack) -> None:
    addresses = [f"somebody.with.a.long.name.{number}@subsidiary.example.org" for number in range(2000)]
    with pytest.raises(ValueError, match="Test/Users/Gate: allowed_addresses holds 2000 addresses outside of"):
        user_pool(stack, allowed_email_domains=["example.com"], allowed_addresses=addresses)
