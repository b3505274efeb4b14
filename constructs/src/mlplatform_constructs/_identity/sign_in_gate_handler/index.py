"""Decides which email addresses may sign in: before a user is created, and again before each token.

The second check is needed because the attributes from a provider can change. A refused user sees the message of the
error. Access tokens get the address as the claim ``email``, by which applications identify the person.

Environment, as JSON lists: ALLOWED_DOMAINS, or null where every address may sign in; ADDRESS_PARAMETERS, SSM
parameters with comma-separated addresses; PROVING_PROVIDERS, the providers that report whether an address is verified.
Other providers are trusted, because an enterprise controls the addresses of its own people.
"""

import functools
import json
import os
from typing import Any

import boto3


class Refused(Exception):
    """This person may not sign in."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Let the event of a user pool pass, with the address for its access token, or refuse it.

    https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-token-generation.html
    """
    source, attributes = event["triggerSource"], event["request"]["userAttributes"]
    if source == "PreSignUp_AdminCreateUser":
        return event
    if not _is_listed(attributes.get("email", "")):
        raise Refused("this email address may not sign in; ask the platform team")
    proof_is_due = source != "PreSignUp_SignUp"  # where the pool sends a code to the address only afterwards
    if proof_is_due and _needs_proof(event["userName"]) and attributes.get("email_verified", "").lower() != "true":
        raise Refused("this email address was never confirmed; confirm it where you signed in, then come back")
    if source.startswith("TokenGeneration_"):
        claims = {"claimsToAddOrOverride": {"email": attributes["email"].lower()}}
        event["response"] = {"claimsAndScopeOverrideDetails": {"accessTokenGeneration": claims}}
    return event


def _is_listed(address: str) -> bool:
    address = address.lower()
    if json.loads(os.environ["ALLOWED_DOMAINS"]) is None:
        return bool(address)
    _, at, domain = address.rpartition("@")
    return bool(at) and (domain in _listed("ALLOWED_DOMAINS") or address in _addresses())


def _needs_proof(user_name: str) -> bool:
    """Native users have a name without a provider in front of it."""
    provider, of_provider, _ = user_name.lower().partition("_")
    return not of_provider or provider in _listed("PROVING_PROVIDERS")


def _listed(name: str) -> set[str]:
    words: list[str] = json.loads(os.environ[name])
    return {word.lower() for word in words}


@functools.cache
def _addresses() -> frozenset[str]:
    """The listed addresses, read once in the lifetime of the function, which is restarted when they change."""
    names: list[str] = json.loads(os.environ["ADDRESS_PARAMETERS"])
    if not names:
        return frozenset()
    answer = boto3.client("ssm").get_parameters(Names=names)
    if answer["InvalidParameters"]:
        raise RuntimeError(f"no parameter {', '.join(answer['InvalidParameters'])}; deploy the user pool again")
    return frozenset(word.lower() for each in answer["Parameters"] for word in each["Value"].split(","))
