from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aws_cdk import SecretValue

from .._arguments import checked

_SAML_EMAIL = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"


@dataclass(frozen=True)
class SignInProvider:
    """A social or enterprise identity provider of a ``PlatformUserPool``.

    Register the platform there first; it sends people back to ``https://<domain of the pool>/oauth2/idpresponse``, for
    SAML to ``/saml2/idpresponse``, and ends sessions at ``/saml2/logout``.

    https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-identity-provider.html
    """

    name: str
    """Display name; for social providers Cognito's fixed name."""

    type: str
    """The provider's type in Cognito."""

    details: Mapping[str, str]
    """The provider details in Cognito's format."""

    attributes: Mapping[str, str]
    """Attribute of the user pool to the provider's claim; ``email`` is always there."""

    social: bool = False
    """Whether registration there is open, so that an account alone proves nothing."""

    @property
    def proves_addresses(self) -> bool:
        """Whether it reports for each address if its owner confirmed it."""
        return "email_verified" in self.attributes

    @classmethod
    @checked
    def amazon(cls, *, client_id: str, client_secret: SecretValue) -> Self:
        """Login with Amazon."""
        return cls._social("LoginWithAmazon", client_id, client_secret, "profile")

    @classmethod
    @checked
    def apple(cls, *, client_id: str, team_id: str, key_id: str, private_key: SecretValue) -> Self:
        """Sign in with Apple."""
        return cls(
            name="SignInWithApple",
            type="SignInWithApple",
            details={
                "client_id": client_id,
                "team_id": team_id,
                "key_id": key_id,
                "private_key": private_key.unsafe_unwrap(),
                "authorize_scopes": "email name",
            },
            attributes={"email": "email", "email_verified": "email_verified"},
            social=True,
        )

    @classmethod
    @checked
    def facebook(cls, *, client_id: str, client_secret: SecretValue) -> Self:
        """Facebook, which reports only confirmed addresses."""
        return cls._social("Facebook", client_id, client_secret, "public_profile,email")

    @classmethod
    @checked
    def google(cls, *, client_id: str, client_secret: SecretValue) -> Self:
        """Google."""
        proof = {"email_verified": "email_verified"}
        return cls._social("Google", client_id, client_secret, "openid email", proof)

    @classmethod
    @checked
    def oidc(cls, name: str, *, issuer: str, client_id: str, client_secret: SecretValue, email: str = "email") -> Self:
        """An enterprise's OpenID Connect provider.

        :param issuer: where ``/.well-known/openid-configuration`` is found.
        :param email: claim that holds the email address.
        """
        return cls(
            name=name,
            type="OIDC",
            details={
                "oidc_issuer": issuer,
                "client_id": client_id,
                "client_secret": client_secret.unsafe_unwrap(),
                "attributes_request_method": "GET",
                "authorize_scopes": "openid email",
            },
            attributes={"email": email},
        )

    @classmethod
    @checked
    def saml(cls, name: str, *, metadata_url: str, sign_out: bool = False, email: str = _SAML_EMAIL) -> Self:
        """An enterprise's SAML 2.0 provider, such as AD FS, Entra ID or IAM Identity Center. Requests to it are signed.

        :param metadata_url: where it publishes its metadata, which Cognito reads again as it changes.
        :param sign_out: whether signing out of the pool signs out there, too.
        :param email: attribute that holds the email address.
        """
        return cls(
            name=name,
            type="SAML",
            details={
                "MetadataURL": metadata_url,
                "IDPSignout": str(sign_out).lower(),
                "RequestSigningAlgorithm": "rsa-sha256",
            },
            attributes={"email": email},
        )

    @classmethod
    def _social(
        cls,
        type: str,
        client_id: str,
        client_secret: SecretValue,
        scopes: str,
        attributes: Mapping[str, str] | None = None,
    ) -> Self:
        return cls(
            name=type,
            type=type,
            details={
                "client_id": client_id,
                "client_secret": client_secret.unsafe_unwrap(),
                "authorize_scopes": scopes,
            },
            attributes={"email": "email", **(attributes or {})},
            social=True,
        )
