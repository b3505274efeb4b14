"""Decides whose email address gets in: before a user is made, and again before each token.

The second time matters, because what a provider says of its users can change. Who is refused sees the error's text.

Environment, JSON lists: ALLOWED_DOMAINS and ALLOWED_ADDRESSES; PROVING_PROVIDERS, the providers that say whether an
address was proved. The other providers are taken at their word, as an enterprise is about its own people.
"""

import json
import os
from typing import Any


class Refused(Exception):
    """This person does not get in."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Let the event of a user pool pass unchanged, or refuse it."""
    source, attributes = event["triggerSource"], event["request"]["userAttributes"]
    if source == "PreSignUp_AdminCreateUser":
        return event
    if not _is_listed(attributes.get("email", "")):
        raise Refused("this email address is not let in; ask the platform's team")
    proof_is_due = source != "PreSignUp_SignUp"  # where the pool sends a code to the address only afterwards
    if proof_is_due and _needs_proof(event["userName"]) and attributes.get("email_verified", "").lower() != "true":
        raise Refused("this email address was never confirmed; confirm it where you signed in, then come back")
    return event


def _is_listed(address: str) -> bool:
    address = address.lower()
    _, at, domain = address.rpartition("@")
    return bool(at) and (domain in _listed("ALLOWED_DOMAINS") or address in _listed("ALLOWED_ADDRESSES"))


def _needs_proof(user_name: str) -> bool:
    """Native users have a name without a provider in front of it."""
    provider, of_provider, _ = user_name.lower().partition("_")
    return not of_provider or provider in _listed("PROVING_PROVIDERS")


def _listed(name: str) -> set[str]:
    words: list[str] = json.loads(os.environ[name])
    return {word.lower() for word in words}
