from typing import Any

import pytest

from mlplatform_constructs.handlers.sign_in_gate.index import Refused, handler


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_DOMAINS", '["example.com"]')
    monkeypatch.setenv("ALLOWED_ADDRESSES", '["Guest@Elsewhere.org"]')
    monkeypatch.setenv("PROVING_PROVIDERS", '["Google"]')


def event(source: str, user: str = "3f1c", **attributes: str) -> dict[str, Any]:
    return {"triggerSource": source, "userName": user, "request": {"userAttributes": attributes}, "response": {}}


@pytest.mark.parametrize("address", ["ana@example.com", "ANA@EXAMPLE.COM", "guest@elsewhere.org"])
def test_addresses_of_a_domain_and_listed_ones_get_in(address: str) -> None:
    """Row 53."""
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
def test_nobody_else_does_at_any_time(address: str, source: str, user: str) -> None:
    with pytest.raises(Refused, match="this email address is not let in"):
        handler(event(source, user, email=address, email_verified="true"), None)


def test_whoever_has_no_address_is_refused() -> None:
    with pytest.raises(Refused):
        handler(event("PreSignUp_ExternalProvider", "corporate_ana"), None)


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
    """Else anybody could claim the name of somebody else. Row 53."""
    with pytest.raises(Refused, match="never confirmed"):
        handler(event(source, user, email="ana@example.com", **said), None)


@pytest.mark.parametrize("user", ["corporate_ana", "corporate_a_b@example.com"])
def test_an_enterprise_is_taken_at_its_word_about_its_own_people(user: str) -> None:
    asked = event("TokenGeneration_HostedAuth", user, email="ana@example.com", email_verified="false")
    assert handler(asked, None) is asked


def test_administrators_may_make_any_user_but_the_user_gets_no_token() -> None:
    address = {"email": "ana@elsewhere.org", "email_verified": "true"}
    asked = event("PreSignUp_AdminCreateUser", **address)
    assert handler(asked, None) is asked
    with pytest.raises(Refused):
        handler(event("TokenGeneration_Authentication", **address), None)
