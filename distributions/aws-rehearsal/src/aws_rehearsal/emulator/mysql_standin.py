"""A stand-in for MySQL behind RDS: accounts and databases, in a file, for the statements that the platform uses.

The emulator describes RDS instances but runs none. In its functions, this module takes the place of the package
``pymysql``, so it must not import anything but the standard library. It knows the master user of each instance,
accounts with a first and a second password, and the databases that they may use. A statement that it does not know is
an error. It proves order and meaning of the statements, not their syntax, nor TLS, nor the network.
"""

import io
import json
import os
import re
import ssl
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "MYSQL_STANDIN"
"""Environment variable with the path of the file that holds all servers."""

Server = dict[str, Any]
"""``databases``, and ``users``: name to plugin, ``passwords`` (first and second) and ``databases``."""


class MySQLError(Exception):
    """As of ``pymysql``: a number and a text."""


class OperationalError(MySQLError):
    """As of ``pymysql``."""


def connect(*, host: str, user: str, password: str, ssl: ssl.SSLContext, **options: Any) -> "Connection":
    """Authenticate as MySQL does."""
    server = _read().get(host)
    if server is None:
        raise OperationalError(2003, f"Can't connect to MySQL server on {host!r}")
    if not (ssl.check_hostname and ssl.verify_mode.name == "CERT_REQUIRED"):
        raise OperationalError(3159, "Connections using insecure transport are prohibited")
    account, database = server["users"].get(user), options.get("database")
    if account is None or password not in account["passwords"]:
        raise OperationalError(1045, f"Access denied for user {user!r}")
    if database is not None and database not in account["databases"]:
        raise OperationalError(1044, f"Access denied for user {user!r} to database {database!r}")
    return Connection(host, user)


class Connection:
    """An open connection with autocommit."""

    def __init__(self, host: str, user: str) -> None:
        self._host, self._user = host, user

    def close(self) -> None:
        """Nothing is held."""

    def cursor(self) -> "Connection":
        """Itself: one statement at a time."""
        return self

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def execute(self, statement: str, values: tuple[str, ...] = ()) -> None:
        """Execute a statement, if it is known."""
        servers = _read()
        if self._user != "master":
            raise OperationalError(1227, "Access denied; you need (at least one of) the CREATE USER privilege(s)")
        for pattern, do in _STATEMENTS.items():
            if match := re.fullmatch(pattern, statement):
                do(servers[self._host], *match.groups(), *(value for value in values if value != "%"))
                _write(servers)
                return
        raise OperationalError(1064, f"You have an error in your SQL syntax near {statement!r}")


def _create_database(server: Server, name: str) -> None:
    if name not in server["databases"]:
        server["databases"].append(name)


def _create_user(server: Server, plugin: str, user: str, password: str) -> None:
    server["users"].setdefault(user, {"plugin": plugin, "passwords": [password], "databases": []})


def _grant(server: Server, database: str, user: str) -> None:
    databases = server["users"][user]["databases"]
    if database not in databases:
        databases.append(database)


def _alter_user(server: Server, plugin: str, retain: str | None, user: str, password: str) -> None:
    account = server["users"].get(user)
    if account is None:
        raise OperationalError(1396, f"Operation ALTER USER failed for {user!r}")
    first, *second = account["passwords"]
    account["passwords"] = [password, first] if retain else [password, *second]
    account["plugin"] = plugin


_STATEMENTS: dict[str, Callable[..., None]] = {
    r"CREATE DATABASE IF NOT EXISTS `(\w+)` CHARACTER SET utf8mb4": _create_database,
    r"CREATE USER IF NOT EXISTS %s@%s IDENTIFIED WITH (\w+) BY %s REQUIRE SSL": _create_user,
    r"GRANT ALL PRIVILEGES ON `(\w+)`\.\* TO %s@%s": _grant,
    r"ALTER USER %s@%s IDENTIFIED WITH (\w+) BY %s( RETAIN CURRENT PASSWORD)?": _alter_user,
}


def start_server(host: str, master_password: str) -> None:
    """Let the master user of a new instance in, as RDS does."""
    master = {"plugin": "caching_sha2_password", "passwords": [master_password], "databases": []}
    _write(_read() | {host: {"databases": [], "users": {"master": master}}})


def servers() -> dict[str, Server]:
    """Every server by its host name."""
    return _read()


def _read() -> dict[str, Server]:
    file = Path(os.environ[FILE])
    found: dict[str, Server] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def _write(servers: dict[str, Server]) -> None:
    Path(os.environ[FILE]).write_text(json.dumps(servers), encoding="utf-8")


def stand_ins() -> list[str]:
    """What was in place of MySQL, as lines of the report."""
    users = sum(len(server["users"]) - 1 for server in _read().values()) if FILE in os.environ else 0
    return [f"MySQL behind RDS: a list of statements, databases and {users} users; no server"] if users else []


def install() -> None:
    """Give instances a master user as RDS does, and functions this module for ``pymysql``."""
    from ministack.core import lambda_runtime
    from ministack.services import secretsmanager

    from aws_rehearsal.emulator import attributes
    from aws_rehearsal.emulator.registry import registry

    os.environ[FILE] = str(Path(tempfile.mkdtemp(prefix="mysql-")) / "servers.json")
    kind = "AWS::RDS::DBInstance"
    native = dict(registry[kind])

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        id, answered = native["create"](logical_id, properties, stack)
        if properties.get("ManageMasterUserPassword"):
            password = os.urandom(16).hex()
            content = json.dumps({"username": properties["MasterUsername"], "password": password})
            arn = secretsmanager.create_secret_in_process(f"rds!{id}", content)
            start_server(answered["Endpoint.Address"], password)
            answered = attributes.complete(kind, id, properties, answered | {"MasterUserSecret.SecretArn": arn})
        return id, answered

    def delete(physical_id: str, properties: dict[str, Any], *logical_id: str) -> None:
        native["delete"](physical_id, properties, *logical_id)
        secretsmanager.delete_secret_in_process(f"rds!{physical_id}")

    registry[kind] = native | {"create": create, "delete": delete}
    spawn = lambda_runtime.Worker._spawn

    def prepared(worker: Any) -> None:
        worker.code_zip = _exchanged(worker.code_zip)
        environment = worker.config.get("Environment", {}).get("Variables", {})
        worker.config = {**worker.config, "Environment": {"Variables": {**environment, FILE: os.environ[FILE]}}}
        spawn(worker)

    lambda_runtime.Worker._spawn = prepared


def _exchanged(code: bytes) -> bytes:
    """The code of a function with this module for its MySQL client, if it has one."""
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        if "pymysql/__init__.py" not in archive.namelist():
            return code
        kept = {name: archive.read(name) for name in archive.namelist() if not name.startswith("pymysql/")}
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive:
        for name, content in (kept | {"pymysql/__init__.py": Path(__file__).read_bytes()}).items():
            archive.writestr(name, content)
    return result.getvalue()
