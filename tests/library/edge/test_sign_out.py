import pytest

from mlplatform_constructs._edge.sign_out_handler.index import handler

SIGN_OUT_URL = "https://auth.ml.example.com/logout?client_id=abc&logout_uri=https%3A%2F%2Fkubeflow.ml.example.com%2F"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_COOKIE", "AWSELBAuthSessionCookie")
    monkeypatch.setenv("SIGN_OUT_URL", SIGN_OUT_URL)


@pytest.mark.promise("sign-out")
def test_every_cookie_of_a_session_expires_and_the_user_pools_sign_out_page_follows() -> None:
    answer = handler({"httpMethod": "GET", "path": "/logout", "multiValueHeaders": {}}, None)
    assert answer["statusCode"] == 302
    assert answer["multiValueHeaders"]["Location"] == [SIGN_OUT_URL]
    cookies = answer["multiValueHeaders"]["Set-Cookie"]
    assert [cookie.partition("=")[0] for cookie in cookies] == [f"AWSELBAuthSessionCookie-{i}" for i in range(4)]
    for cookie in cookies:
        _, value, *attributes = cookie.replace("=", ";", 1).split(";")
        assert value == ""
        # A browser deletes a cookie only if path and host are those it was set with.
        assert {part.strip() for part in attributes} >= {"Max-Age=0", "Path=/", "Secure", "HttpOnly"}
        assert not [part for part in attributes if "Domain" in part]


def test_the_response_is_not_cached() -> None:
    answer = handler({"httpMethod": "GET"}, None)
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_what_a_browser_opens_ends_a_session(method: str) -> None:
    """Other methods would follow the redirect with a method that the user pool refuses."""
    answer = handler({"httpMethod": method}, None)
    assert answer["statusCode"] == 405
    assert "Set-Cookie" not in answer["multiValueHeaders"]
