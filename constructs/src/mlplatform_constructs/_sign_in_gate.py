"""Who may be a user of a pool."""

import json
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Duration, IgnoreMode, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IDependable

_HANDLERS = Path(__file__).parent / "handlers"


class SignInGate(Construct):
    """Refuses email addresses that are on no list, whenever a user is made or gets a token.

    - ``open``: is there when the pool may ask; before that it makes no user.

    :param user_pool: whose users pass it.
    :param domains: domains of addresses that get in.
    :param addresses: addresses that get in beside those.
    :param proving_providers: providers that say whether an address was proved; without the proof nobody gets in.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        user_pool: cognito.UserPool,
        domains: Sequence[str],
        addresses: Sequence[str],
        proving_providers: Sequence[str],
        log_encryption_key: kms.IKey | None,
        log_retention: logs.RetentionDays,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        log_group = logs.LogGroup(
            self, "Log", encryption_key=log_encryption_key, retention=log_retention, removal_policy=removal_policy
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        gate = lambda_.Function(
            self,
            "Function",
            description="Decides whose email address gets in",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(
                str(_HANDLERS), exclude=["*", "!sign_in_gate", "!sign_in_gate/*.py"], ignore_mode=IgnoreMode.GIT
            ),
            handler="sign_in_gate.index.handler",
            role=role,
            log_group=log_group,
            timeout=Duration.seconds(5),  # Cognito waits no longer
            environment={
                "ALLOWED_DOMAINS": json.dumps(sorted(domains)),
                "ALLOWED_ADDRESSES": json.dumps(sorted(addresses)),
                "PROVING_PROVIDERS": json.dumps(sorted(proving_providers)),
            },
        )
        user_pool.add_trigger(cognito.UserPoolOperation.PRE_SIGN_UP, gate)
        user_pool.add_trigger(cognito.UserPoolOperation.PRE_TOKEN_GENERATION, gate)
        self.open: IDependable = user_pool.node.find_child("PreSignUpCognito")  # its permission to call the function
