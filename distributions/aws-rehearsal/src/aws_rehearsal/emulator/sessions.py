"""Sessions of roles that AWS's services take, and whether a role's trust policy allows them to."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any

from ministack.services import iam, sts

from aws_rehearsal.emulator.patching import wrap


def install() -> None:
    """Let sessions be added from several threads, as steps of a parallel state do.

    The emulator walks through all sessions whenever it adds one, which fails while another thread adds its own.
    """
    wrap(sts, "register_session", one_at_a_time)


def one_at_a_time(original: Callable[..., None]) -> Callable[..., None]:
    """The same function, which waits for its other calls to end."""
    lock = Lock()

    def locked(*arguments: Any) -> None:
        with lock:
            original(*arguments)

    return locked


@dataclass(frozen=True)
class Session:
    """Credentials of a role."""

    key: str
    secret: str
    token: str


def session_of(role: str, name: str) -> Session:
    """A new session of a role.

    :param role: its ARN.
    :param name: of the session.
    """
    account, own = role.split(":")[4], role.rpartition("/")[2]
    session = Session(f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20), secrets.token_hex(32))
    sts.register_session(
        session.key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{own}/{name}",
            "UserId": f"{own}:{name}",
            "SecretAccessKey": session.secret,
            "SessionToken": session.token,
        },
    )
    return session


def trusts(account: str, role: str, service: str, *actions: str) -> bool:
    """Whether the trust policy of a role allows actions to a service. Conditions count as fulfilled."""
    return set(actions) <= set(_allowed(account, role, service))


def _allowed(account: str, role: str, service: str) -> Iterator[str]:
    found = iam._roles.get_scoped(account, None, role.rpartition("/")[2])
    document = (found or {}).get("AssumeRolePolicyDocument") or "{}"
    statements = (json.loads(document) if isinstance(document, str) else document).get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        if statement.get("Effect") == "Allow" and service in _listed(statement.get("Principal", {}), "Service"):
            yield from _listed(statement, "Action")


def _listed(found: Any, name: str) -> list[str]:
    value = found.get(name, []) if isinstance(found, dict) else []
    return [value] if isinstance(value, str) else list(value)
