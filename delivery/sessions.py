"""Read-only access to the accounts that are delivered to."""

import functools
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError

_PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 8})


class Reader:
    """AWS clients with which an account can be looked at and not changed.

    Takes the read-only role that ``cdk bootstrap`` made in the account. Credentials that belong to the account itself
    and may not take the role are used as they are, as the CDK CLI does. Roles that are taken with a role's credentials
    last an hour at most: a reader is good for one look, make another for the next.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
    """

    def __init__(self, *, own: boto3.Session | None = None) -> None:
        self._own = own or boto3.Session()
        self._client = functools.lru_cache(maxsize=None)(self._make)
        self._session = functools.lru_cache(maxsize=None)(self._take_role)

    def client(self, service: str, stack: Stack) -> Any:
        """A client for a service in a stack's account and region.

        :raises DeliveryError: without credentials, and where they lead into another account.
        """
        return self._client(service, stack.account, stack.region, stack.lookup_role)

    def _make(self, service: str, account: str, region: str, role: str | None) -> Any:
        return self._session(account, region, role).client(service, region_name=region, config=_PATIENT)

    def _take_role(self, account: str, region: str, role: str | None) -> boto3.Session:
        sts = self._own.client("sts", region_name=region)
        if role is None:
            return self._own_credentials(sts, account, "a role of it")
        try:
            taken = sts.assume_role(RoleArn=role, RoleSessionName="delivery")["Credentials"]
        except (BotoCoreError, ClientError) as refused:
            return self._own_credentials(sts, account, role, f": {refused}")
        return boto3.Session(
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
        )

    def _own_credentials(self, sts: Any, account: str, role: str, refused: str = "") -> boto3.Session:
        try:
            own = sts.get_caller_identity()["Account"]
        except (BotoCoreError, ClientError) as error:
            raise DeliveryError(f"account {account}: {error}; give credentials that may assume {role}") from None
        if own != account:
            raise DeliveryError(
                f"account {account}: credentials of account {own} may not assume {role}{refused}; "
                "bootstrap the account with --trust-for-lookup, see `make bootstrap`"
            )
        return self._own
