from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from delivery import sessions
from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.sessions import Reader

ROLE = "arn:aws:iam::111111111111:role/cdk-hnb659fds-lookup-role-111111111111-eu-west-1"
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "AssumeRole")
KEYS = {"AccessKeyId": "taken", "SecretAccessKey": "secret", "SessionToken": "token"}


class Own:
    """A session with a fake STS."""

    def __init__(self, *, account: Any = "999999999999", role: Any = None) -> None:
        self._account, self._role = account, role or {"Credentials": KEYS}
        self.asked: list[str] = []

    def client(self, service: str, region_name: str, config: Any = None) -> Any:
        if service != "sts":
            return f"own {service} in {region_name}"
        return SimpleNamespace(assume_role=self._assume_role, get_caller_identity=self._identity)

    def _assume_role(self, RoleArn: str, RoleSessionName: str) -> Any:
        self.asked.append(RoleArn)
        return answer(self._role)

    def _identity(self) -> Any:
        return {"Account": answer(self._account)}


def answer(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


@pytest.fixture
def network() -> Stack:
    return Stack(
        id="dev/Network",
        name="dev-Network",
        account="111111111111",
        region="eu-west-1",
        template_file=Path("none"),
        lookup_role=ROLE,
    )


def test_the_read_only_role_of_the_account_is_taken_once(network: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, str]] = []

    def session(**credentials: str) -> Any:
        made.append(credentials)
        return SimpleNamespace(client=lambda service, region_name, config: f"{service} in {region_name}")

    monkeypatch.setattr(sessions.boto3, "Session", session)
    own = Own()
    reader = Reader(own=own)  # type: ignore[arg-type]
    assert reader.client("eks", network) == "eks in eu-west-1"
    assert reader.client("rds", network) == "rds in eu-west-1"
    assert own.asked == [ROLE]
    assert made == [{"aws_access_key_id": "taken", "aws_secret_access_key": "secret", "aws_session_token": "token"}]


def test_credentials_of_the_account_itself_do_without_the_role(network: Stack) -> None:
    own = Own(account="111111111111", role=DENIED)
    assert Reader(own=own).client("eks", network) == "own eks in eu-west-1"  # type: ignore[arg-type]


def test_fails_with_credentials_that_lead_elsewhere(network: Stack) -> None:
    with pytest.raises(DeliveryError, match=f"credentials of account 999999999999 may not assume {ROLE}: .*bootstrap"):
        Reader(own=Own(role=DENIED)).client("eks", network)  # type: ignore[arg-type]


def test_fails_without_credentials(network: Stack) -> None:
    own = Own(account=NoCredentialsError(), role=NoCredentialsError())
    with pytest.raises(DeliveryError, match="^account 111111111111: Unable to locate credentials; give credentials"):
        Reader(own=own).client("eks", network)  # type: ignore[arg-type]
