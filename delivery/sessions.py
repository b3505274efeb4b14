"""Read-only access to the accounts of the platform."""

import functools
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError

_PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 8})


class Reader:
    """AWS clients with read-only access to accounts.

    Assumes the lookup role that ``cdk bootstrap`` created in the account. Like the CDK CLI, it uses the current
    credentials directly if they belong to the account and may not assume the role. Credentials from role chaining last
    one hour, so create a new reader for each check.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
    """

    def __init__(self, *, own: boto3.Session | None = None) -> None:
        self._own = own or boto3.Session()
        self._client = functools.lru_cache(maxsize=None)(self._make)
        self._session = functools.lru_cache(maxsize=None)(self._take_role)

    def client(self, service: str, stack: Stack, *, region: str | None = None) -> Any:
        """A client for a service in a stack's account.

        :param region: Default: that of the stack.
        :raises DeliveryError: if there are no credentials, or they belong to another account.
        """
        return self._client(service, stack.account, stack.region, stack.lookup_role, region or stack.region)

    def _make(self, service: str, account: str, home: str, role: str | None, region: str) -> Any:
        return self._session(account, home, role).client(service, region_name=region, config=_PATIENT)

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
