"""A MySQL server with verified TLS, and the statements that the platform needs."""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pymysql

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
ROOTS = Path(__file__).with_name("rds_roots.pem")
AUTHENTICATION = ("caching_sha2_password", "mysql_native_password")

_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_UNREACHABLE = 2003
_DENIED = 1045
_FIXES = {
    _DENIED: "the password of the secret is not the user's; rotate the secret, or set it by the master user",
    _UNREACHABLE: "look at the security groups and subnets of instance and function, and at the instance's CA",
    1524: "the server has not loaded the plugin; turn it on in the parameter group, see docs/metadata-database.md",
}


class DatabaseError(Exception):
    """What the server refused, without any password in it."""

    def __init__(self, place: str, code: int, text: str) -> None:
        fix = _FIXES.get(code)
        super().__init__(f"{place}: MySQL error {code}: {text}" + (f"; {fix}" if fix else ""))
        self.code = code


@dataclass(frozen=True)
class Login:
    """User, password and address, from a secret of the platform or of RDS."""

    host: str
    port: int
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.username}@{self.host}:{self.port})"


@dataclass(frozen=True)
class Consumer:
    """A user and the one database it owns.

    :param authentication: the plugin that checks its password.
    """

    username: str
    database: str
    authentication: str

    @classmethod
    def of(cls, secret: Mapping[str, Any], place: str) -> "Consumer":
        """The consumer that a secret describes. Names are checked here, since MySQL takes none as a parameter."""
        for key in ("username", "dbname"):
            if not _NAME.fullmatch(str(secret.get(key))):
                raise ValueError(
                    f"{place}: {key} must be 1 to 32 lower-case letters and digits, got {secret.get(key)!r}; "
                    "restore the previous version of the secret"
                )
        if secret.get("authentication") not in AUTHENTICATION:
            raise ValueError(
                f"{place}: authentication must be {' or '.join(AUTHENTICATION)}, got {secret.get('authentication')!r}; "
                "restore the previous version of the secret"
            )
        return cls(secret["username"], secret["dbname"], secret["authentication"])


class Session:
    """An open connection."""

    def __init__(self, connection: Any, place: str) -> None:
        self._connection = connection
        self._place = place

    def make(self, consumer: Consumer, password: str) -> None:
        """Create database and user if they do not exist, and grant the user all privileges in its database only."""
        self._run(f"CREATE DATABASE IF NOT EXISTS `{consumer.database}` CHARACTER SET utf8mb4")
        self._run(
            f"CREATE USER IF NOT EXISTS %s@%s IDENTIFIED WITH {consumer.authentication} BY %s REQUIRE SSL",
            consumer.username,
            "%",
            password,
        )
        self._run(f"GRANT ALL PRIVILEGES ON `{consumer.database}`.* TO %s@%s", consumer.username, "%")

    def set_password(self, consumer: Consumer, password: str) -> None:
        """Make ``password`` the first one. A second one, if there is any, stays."""
        self._run(f"ALTER USER %s@%s IDENTIFIED WITH {consumer.authentication} BY %s", consumer.username, "%", password)

    def add_password(self, consumer: Consumer, password: str, *, keep: str) -> None:
        """Let the user in by ``password`` and by ``keep``, and by no other.

        First ``keep`` becomes the first password, so that what an earlier, interrupted rotation left there does not
        push it out: MySQL retains only the one that was first. However often this runs, the result is the same.
        https://dev.mysql.com/doc/refman/8.4/en/password-management.html#dual-passwords
        """
        self.set_password(consumer, keep)
        self._run(
            f"ALTER USER %s@%s IDENTIFIED WITH {consumer.authentication} BY %s RETAIN CURRENT PASSWORD",
            consumer.username,
            "%",
            password,
        )

    def _run(self, statement: str, *values: str) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values)
        except pymysql.MySQLError as error:
            code, text = _code_and_message(error)
            for value in values:
                if len(value) > 1:  # MySQL quotes the statement in some errors
                    text = text.replace(value, "***")
            raise DatabaseError(self._place, code, text) from None


def open_session(login: Login, *, database: str | None = None, wait_seconds: float = 0) -> "closing[Any]":
    """A connection with autocommit. Nothing is sent before the server's certificate is verified.

    :param wait_seconds: how long to retry while the server is unreachable.
    :raises DatabaseError: if it is unreachable or refuses the user.
    """
    place = f"{login.username}@{login.host}:{login.port}"
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return closing(
                pymysql.connect(
                    host=login.host,
                    port=login.port,
                    user=login.username,
                    password=login.password,
                    database=database,
                    ssl=_trust(),
                    autocommit=True,
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=STATEMENT_SECONDS,
                    write_timeout=STATEMENT_SECONDS,
                )
            )
        except pymysql.MySQLError as error:
            code, text = _code_and_message(error)
            hopeless = code != _UNREACHABLE or "CERTIFICATE_VERIFY_FAILED" in text
            if hopeless or time.monotonic() > deadline:
                raise DatabaseError(place, code, text) from None
            time.sleep(2)


def with_session(login: Login, work: Callable[[Session], None], *, wait_seconds: float = 0) -> None:
    """Run ``work`` in a separate session."""
    with open_session(login, wait_seconds=wait_seconds) as connection:
        work(Session(connection, f"{login.username}@{login.host}:{login.port}"))


def lets_in(login: Login, database: str) -> bool:
    """Whether the server takes this password, and opens this database.

    :raises DatabaseError: it answers something else than yes or no.
    """
    try:
        with open_session(login, database=database):
            return True
    except DatabaseError as error:
        if error.code == _DENIED:
            return False
        raise


@cache
def _trust() -> ssl.SSLContext:
    """Trust Amazon's RDS authorities and no other, for the very name that is called."""
    context = ssl.create_default_context(cafile=str(ROOTS))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 and later also want key identifiers, which Amazon's RDS certificates do not all carry.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _code_and_message(error: Exception) -> tuple[int, str]:
    code, text = (*error.args, "", "")[:2]
    return (code, str(text)) if isinstance(code, int) else (0, str(error))
