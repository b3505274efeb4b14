from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from mlplatform_constructs import SignInProvider
from tests.sign_in import user_pool

SECRET = cdk.SecretValue.secrets_manager("arn:aws:secretsmanager:eu-west-1:111111111111:secret:idp-AbCdEf")
REFERENCE = "{{resolve:secretsmanager:arn:aws:secretsmanager:eu-west-1:111111111111:secret:idp-AbCdEf:SecretString:::}}"


def made(stack: cdk.Stack, provider: SignInProvider) -> dict[str, Any]:
    """Properties of the provider in a user pool."""
    user_pool(stack, providers=[provider], allowed_email_domains=["example.com"])
    (found,) = Template.from_stack(stack).find_resources("AWS::Cognito::UserPoolIdentityProvider").values()
    return {name: value for name, value in found["Properties"].items() if name != "UserPoolId"}


@pytest.mark.promise("sign-in-providers")
def test_google_reports_verified_addresses(stack: cdk.Stack) -> None:
    provider = SignInProvider.google(client_id="platform", client_secret=SECRET)
    assert provider.social
    assert provider.proves_addresses
    assert made(stack, provider) == {
        "ProviderName": "Google",
        "ProviderType": "Google",
        "ProviderDetails": {
            "client_id": "platform",
            "client_secret": REFERENCE,
            "authorize_scopes": "openid email",
        },
        "AttributeMapping": {"email": "email", "email_verified": "email_verified"},
    }


@pytest.mark.promise("sign-in-providers")
@pytest.mark.parametrize(
    ("provider", "type", "scopes"),
    [
        (SignInProvider.amazon(client_id="platform", client_secret=SECRET), "LoginWithAmazon", "profile"),
        (SignInProvider.facebook(client_id="platform", client_secret=SECRET), "Facebook", "public_profile,email"),
    ],
)
def test_other_social_providers(stack: cdk.Stack, provider: SignInProvider, type: str, scopes: str) -> None:
    assert provider.social
    assert made(stack, provider) == {
        "ProviderName": type,
        "ProviderType": type,
        "ProviderDetails": {"client_id": "platform", "client_secret": REFERENCE, "authorize_scopes": scopes},
        "AttributeMapping": {"email": "email"},
    }


@pytest.mark.promise("sign-in-providers")
def test_apple_signs_with_a_key(stack: cdk.Stack) -> None:
    provider = SignInProvider.apple(client_id="platform", team_id="TEAM", key_id="KEY", private_key=SECRET)
    assert provider.social
    assert made(stack, provider)["ProviderDetails"] == {
        "client_id": "platform",
        "team_id": "TEAM",
        "key_id": "KEY",
        "private_key": REFERENCE,
        "authorize_scopes": "email name",
    }


@pytest.mark.promise("sign-in-providers", "enterprise-directory")
def test_an_enterprise_can_use_openid_connect(stack: cdk.Stack) -> None:
    provider = SignInProvider.oidc(
        "okta", issuer="https://example.okta.com", client_id="platform", client_secret=SECRET, email="mail"
    )
    assert not provider.social
    assert made(stack, provider) == {
        "ProviderName": "okta",
        "ProviderType": "OIDC",
        "ProviderDetails": {
            "oidc_issuer": "https://example.okta.com",
            "client_id": "platform",
            "client_secret": REFERENCE,
            "attributes_request_method": "GET",
            "authorize_scopes": "openid email",
        },
        "AttributeMapping": {"email": "mail"},
    }


@pytest.mark.promise("sign-in-providers", "sign-out", "enterprise-directory")
def test_an_enterprise_can_use_saml_with_sign_out(stack: cdk.Stack) -> None:
    provider = SignInProvider.saml("adfs", metadata_url="https://idp.example.com/metadata", sign_out=True)
    assert not provider.social
    assert made(stack, provider) == {
        "ProviderName": "adfs",
        "ProviderType": "SAML",
        "ProviderDetails": {
            "MetadataURL": "https://idp.example.com/metadata",
            "IDPSignout": "true",
            "RequestSigningAlgorithm": "rsa-sha256",
        },
        "AttributeMapping": {"email": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"},
    }


def test_saml_sign_out_is_off_by_default(stack: cdk.Stack) -> None:
    provider = SignInProvider.saml("adfs", metadata_url="https://idp.example.com/metadata")
    assert made(stack, provider)["ProviderDetails"]["IDPSignout"] == "false"
