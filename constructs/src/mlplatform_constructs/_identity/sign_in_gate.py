"""The trigger of a user pool that decides whose email address may sign in, and puts it into access tokens."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct, IDependable

from .._arguments import ConfigurationError
from .._functions.handler_function import HandlerFunction

PARAMETER_BYTES = 4096
"""Size of a standard parameter of Systems Manager."""
MOST_PARAMETERS = 10
"""Parameters in one request of the function; room for about 1,500 addresses."""


class SignInGate(Construct):
    """Refuses unlisted email addresses when a user is created and before each token.

    Access tokens, which Cognito issues without an address, get it as the claim ``email``.

    Addresses of a listed domain need no entry. The others are stored in Systems Manager parameters, because the
    environment of a function holds only about 80 of them.

    - ``open``: the permission of the pool to invoke the function; create users after it.

    :param user_pool: the user pool.
    :param domains: domains of addresses that may sign in. None: every verified address may.
    :param addresses: additional addresses that may sign in.
    :param proving_providers: providers that report whether an address is confirmed; unconfirmed ones are refused.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        user_pool: cognito.UserPool,
        domains: Sequence[str] | None,
        addresses: Sequence[str],
        proving_providers: Sequence[str],
        log_encryption_key: kms.IKey | None,
        log_retention: logs.RetentionDays,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        lists = _lists(self.node.path, domains, addresses) if domains is not None else []
        parameters = [
            ssm.StringParameter(
                self, f"Addresses-{number}", description=f"{self.node.path}: may sign in", string_value=text
            )
            for number, text in enumerate(lists)
        ]
        function = HandlerFunction(
            self,
            "Function",
            description="Decides whose email address may sign in",
            folder=Path(__file__).parent / "sign_in_gate_handler",
            timeout=Duration.seconds(5),  # Cognito waits no longer
            memory_size=512,  # for a fast start
            environment={
                "ALLOWED_DOMAINS": json.dumps(None if domains is None else sorted(domains)),
                "ADDRESS_PARAMETERS": json.dumps([parameter.parameter_name for parameter in parameters]),
                # A change of the lists restarts the function, so that it reads them once.
                "REVISION": hashlib.sha256("".join(lists).encode()).hexdigest()[:16],
                "PROVING_PROVIDERS": json.dumps(sorted(proving_providers)),
            },
            log_encryption_key=log_encryption_key,
            log_retention=log_retention,
            log_removal_policy=removal_policy,
        )
        for parameter in parameters:
            parameter.grant_read(function)
        operation = cognito.UserPoolOperation
        if domains is not None:
            user_pool.add_trigger(operation.PRE_SIGN_UP, function)
        # Only this version of the event can change access tokens.
        user_pool.add_trigger(operation.PRE_TOKEN_GENERATION_CONFIG, function, cognito.LambdaVersion.V2_0)
        first = "PreTokenGenerationConfigCognito" if domains is None else "PreSignUpCognito"
        self.open: IDependable = user_pool.node.find_child(first)


def _lists(place: str, domains: Sequence[str], addresses: Sequence[str]) -> list[str]:
    """The addresses that no domain covers, with commas between, in as many texts as they take."""
    covered = {domain.lower() for domain in domains}
    named = sorted({address.lower() for address in addresses if address.lower().rpartition("@")[2] not in covered})
    texts = list(_texts(named))
    if len(texts) > MOST_PARAMETERS:
        raise ConfigurationError(
            f"{place}: allowed_addresses holds {len(named)} addresses outside of allowed_email_domains, "
            f"{sum(map(len, texts))} characters; {MOST_PARAMETERS * PARAMETER_BYTES} fit: add their domains instead"
        )
    return texts


def _texts(addresses: Sequence[str]) -> Iterator[str]:
    words: list[str] = []
    for address in addresses:
        if sum(len(word.encode()) + 1 for word in [*words, address]) > PARAMETER_BYTES:
            yield ",".join(words)
            words = []
        words.append(address)
    if words:
        yield ",".join(words)
