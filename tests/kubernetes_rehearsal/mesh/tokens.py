"""Tokens as a user pool signs them, and as an attacker would."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example01"
PEOPLE, AUDITORS = "people-client", "auditors-client"
"""Ids of the client that people sign in by, and of a program's."""
ADA, GRACE = "ada@example.com", "grace@example.com"


class Signer:
    """An issuer's key pair.

    :param kid: id of the key in tokens and in the published set.
    """

    def __init__(self, kid: str = "key-1") -> None:
        self.kid = kid
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwks(self) -> str:
        """The published keys."""
        return json.dumps({"keys": [self.public_key]})

    @property
    def public_key(self) -> dict[str, str]:
        """The public key as a JSON Web Key."""
        numbers = self._key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _encoded(numbers.n.to_bytes(256, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }

    def token(self, claims: Mapping[str, Any], **header: Any) -> str:
        """A signed token.

        :param header: changes of its header.
        """
        signed = _signed_part({"alg": "RS256", "kid": self.kid, **header}, claims)
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def token_by_shared_secret(self, claims: Mapping[str, Any]) -> str:
        """A token that is signed with the public key as if that were a shared secret."""
        pem = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signed = _signed_part({"alg": "HS256", "kid": self.kid}, claims)
        return f"{signed}.{_encoded(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"


def unsigned(claims: Mapping[str, Any]) -> str:
    """A token that says of itself that it has no signature."""
    return f"{_signed_part({'alg': 'none'}, claims)}."


def changed(token: str, **claims: Any) -> str:
    """A token with other claims under the old signature."""
    header, payload, signature = token.split(".")
    before = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"{header}.{_encoded(json.dumps({**before, **claims}).encode())}.{signature}"


def of_person(address: str | None = ADA, **changes: Any) -> dict[str, Any]:
    """Claims of an access token of a person; a change to None leaves the claim out."""
    claims = {
        "iss": ISSUER,
        "sub": "c0ffee00-0000-4000-8000-000000000001",
        "token_use": "access",
        "client_id": PEOPLE,
        "scope": "openid email",
        "exp": int(time.time()) + 600,
        "email": address,
        **changes,
    }
    return {claim: value for claim, value in claims.items() if value is not None}


def of_machine(scope: str, **changes: Any) -> dict[str, Any]:
    """Claims of an access token of a program, which has no address."""
    return of_person(None, **{"client_id": AUDITORS, "sub": AUDITORS, "scope": scope, **changes})


def _signed_part(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
