"""Databases and users of the consumers, made at deployment."""

from collections.abc import Sequence
from typing import Any

from . import mysql, rotation

WAIT_SECONDS = 120
"""A new instance's name may not be known everywhere yet."""


def set_up(store: Any, *, master: str, secrets: Sequence[str]) -> str:
    """Create what is missing, and change nothing except the password of a user that differs from its secret.

    :param store: a Secrets Manager client.
    :param master: ARN of the secret that RDS keeps for the master user.
    :param secrets: ARNs of the consumers' secrets.
    :returns: a description of the result.
    """
    contents = {secret: rotation.read(store, secret, VersionStage="AWSCURRENT") for secret in secrets}
    consumers = {secret: mysql.Consumer.of(content, secret) for secret, content in contents.items()}
    for secret, content in contents.items():
        _make(store, master, consumers[secret], content)
    return ", ".join(f"{consumer.username} owns {consumer.database}" for consumer in consumers.values())


def _make(store: Any, master: str, consumer: mysql.Consumer, content: dict[str, Any]) -> None:
    login = rotation.login(content)

    def make(session: mysql.Session) -> None:
        session.make(consumer, login.password)
        # An existing user may have another password, in a restored instance or with a restored secret.
        if not mysql.lets_in(login, consumer.database):
            session.set_password(consumer, login.password)

    mysql.with_session(rotation.master_login(store, master, content), make, wait_seconds=WAIT_SECONDS)
