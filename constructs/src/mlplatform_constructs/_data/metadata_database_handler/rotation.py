"""Rotation of a consumer's password, in the four steps of Secrets Manager.

Each step is idempotent, even after an interruption at any point. The former password remains valid until the next
rotation, because MySQL supports two passwords for a user.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
"""

import json
import secrets
import string
from typing import Any

from . import mysql

PASSWORD_LENGTH = 32
_ALPHABET = string.ascii_letters + string.digits


def new_password() -> str:
    """32 letters and digits (190 bits), which need no escaping in shells and URLs."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(PASSWORD_LENGTH))


def rotate(store: Any, *, master: str, secret: str, token: str, step: str) -> None:
    """Do one step.

    :param store: a Secrets Manager client.
    :param master: ARN of the secret that RDS keeps for the master user.
    :param secret: ARN of the consumer's secret.
    :param token: the version that the rotation is about.
    """
    versions: dict[str, list[str]] = store.describe_secret(SecretId=secret)["VersionIdsToStages"]
    if "AWSCURRENT" in versions.get(token, []):
        return  # finished before; anything more would change a password in use
    if token not in versions and step != "createSecret":
        raise ValueError(f"{secret}: no version {token}; start the rotation again")
    match step:
        case "createSecret":
            _create(store, secret, token)
        case "setSecret":
            _set(store, master, secret, token)
        case "testSecret":
            _test(store, secret, token)
        case "finishSecret":
            _finish(store, secret, token, versions)
        case _:
            raise ValueError(f"{secret}: step must be one of Secrets Manager's four, got {step!r}")


def read(store: Any, secret: str, **version: str) -> dict[str, Any]:
    """The content of one version of a secret."""
    content: dict[str, Any] = json.loads(store.get_secret_value(SecretId=secret, **version)["SecretString"])
    return content


def login(content: dict[str, Any]) -> mysql.Login:
    """How a consumer logs in."""
    return mysql.Login(content["host"], int(content["port"]), content["username"], content["password"])


def master_login(store: Any, master: str, content: dict[str, Any]) -> mysql.Login:
    """How the master user logs in to the server of a consumer's secret."""
    credentials = read(store, master)
    return mysql.Login(content["host"], int(content["port"]), credentials["username"], credentials["password"])


def _create(store: Any, secret: str, token: str) -> None:
    try:
        read(store, secret, VersionId=token, VersionStage="AWSPENDING")
    except store.exceptions.ResourceNotFoundException:
        content = read(store, secret, VersionStage="AWSCURRENT") | {"password": new_password()}
        store.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString=json.dumps(content), VersionStages=["AWSPENDING"]
        )


def _set(store: Any, master: str, secret: str, token: str) -> None:
    current = read(store, secret, VersionStage="AWSCURRENT")
    pending = read(store, secret, VersionId=token, VersionStage="AWSPENDING")
    consumer = mysql.Consumer.of(current, secret)
    if mysql.Consumer.of(pending, secret) != consumer or login(pending).host != login(current).host:
        raise ValueError(f"{secret}: version {token} is of another user or server; start the rotation again")
    mysql.with_session(
        master_login(store, master, current),
        lambda session: session.add_password(consumer, pending["password"], keep=current["password"]),
    )


def _test(store: Any, secret: str, token: str) -> None:
    pending = read(store, secret, VersionId=token, VersionStage="AWSPENDING")
    if not mysql.lets_in(login(pending), mysql.Consumer.of(pending, secret).database):
        raise ValueError(f"{secret}: the server refuses the password of version {token}; start the rotation again")


def _finish(store: Any, secret: str, token: str, versions: dict[str, list[str]]) -> None:
    current = next(version for version, stages in versions.items() if "AWSCURRENT" in stages)
    store.update_secret_version_stage(
        SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )
