"""A real server of MySQL's protocol on loopback, with TLS: MariaDB of Debian."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymysql

from batch_serving.database import SCHEMA, Login
from kubernetes_rehearsal.certificates import LOOPBACK, CertificateAuthority
from kubernetes_rehearsal.processes import free_port
from kubernetes_rehearsal.programs.store import Store
from kubernetes_rehearsal.programs.table import read_table

NEEDED = "debian/mariadb"
DATABASE, USER, PASSWORD = "predictions", "batch", "batch's password"
_ADMINISTRATOR = "tests"
_TABLES = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")
_SECONDS = 60


@dataclass(frozen=True)
class MySql:
    """A running server with an empty database.

    :param login: of a user who can read and write its tables, but not create any.
    """

    login: Login

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows that a statement returns to the administrator."""
        connection = replace(self.login, user=_ADMINISTRATOR).connect()
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            connection.commit()
            return list(cursor.fetchall())

    def new_table(self, name: str) -> None:
        """An empty table of predictions."""
        self.execute(SCHEMA.format(table=f"`{name}`"))

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """The rows of a table by id."""
        columns = ("id", "model", "version", "prediction", "run")
        found = self.execute(f"SELECT {', '.join(columns)} FROM `{table}`")
        texts = [[one.decode() if isinstance(one, bytes) else one for one in row] for row in found]
        assert len({row[0] for row in texts}) == len(texts)
        return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in texts}

    def secret(self) -> str:
        """The content of a secret in the form of RDS."""
        login = self.login
        return json.dumps(
            {
                "host": login.host,
                "port": login.port,
                "username": login.user,
                "password": login.password,
                "dbname": login.database,
            }
        )


def missing() -> str:
    """Why no server can run here; empty if one can."""
    if Store(read_table()).facts(NEEDED):
        return ""
    return f"MariaDB is missing; run python -m kubernetes_rehearsal.programs {NEEDED}"


@contextmanager
def running(folder: Path) -> Iterator[MySql]:
    """A server that ends with the block.

    :param folder: empty; for its data.
    """
    root = Store(read_table()).path(NEEDED)
    authority = CertificateAuthority("databases")
    issued = authority.issue("database")
    for name, content in (
        ("ca.pem", authority.pem.encode()),
        ("cert.pem", issued.certificate),
        ("key.pem", issued.key),
    ):
        (folder / name).write_bytes(content)
    (folder / "data" / "mysql").mkdir(parents=True)
    share, port = root / "usr" / "share" / "mysql", free_port()
    options = [
        str(root / "usr" / "sbin" / "mariadbd"),
        "--no-defaults",
        f"--datadir={folder / 'data'}",
        f"--tmpdir={folder}",
        f"--lc-messages-dir={share}",
        "--innodb-use-native-aio=0",
        "--innodb-flush-log-at-trx-commit=0",
        *(["--user=root"] if os.getuid() == 0 else []),
    ]
    environment = {"LD_LIBRARY_PATH": str(root / "usr" / "lib" / "x86_64-linux-gnu"), "PATH": os.environ["PATH"]}
    tables = "".join((share / f"{name}.sql").read_text(encoding="utf-8") for name in _TABLES)
    log = folder / "log"
    with log.open("wb") as output:
        subprocess.run(
            [*options, "--bootstrap"],
            env=environment,
            input=f"USE mysql;\n{tables}".encode(),
            stdout=output,
            stderr=output,
            check=True,
        )
        quoted = PASSWORD.replace("'", "''")
        statements = [
            f"CREATE DATABASE {DATABASE};",
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{quoted}';",
            f"GRANT SELECT, INSERT, UPDATE ON {DATABASE}.* TO '{USER}'@'%';",
            f"CREATE USER '{_ADMINISTRATOR}'@'%' IDENTIFIED BY '{quoted}';",
            f"GRANT ALL ON *.* TO '{_ADMINISTRATOR}'@'%' WITH GRANT OPTION;",
        ]
        (folder / "init.sql").write_text("\n".join(statements) + "\n", encoding="utf-8")
        own = [
            f"--bind-address={LOOPBACK}",
            f"--port={port}",
            f"--socket={folder / 's'}",
            f"--init-file={folder / 'init.sql'}",
            f"--ssl-cert={folder / 'cert.pem'}",
            f"--ssl-key={folder / 'key.pem'}",
        ]
        process = subprocess.Popen([*options, *own], env=environment, stdout=output, stderr=output)
        try:
            server = MySql(Login(LOOPBACK, port, USER, PASSWORD, DATABASE, folder / "ca.pem"))
            _wait(server, process, log)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait(server: MySql, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        with suppress(pymysql.MySQLError):
            server.execute("SELECT 1")
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-3000:])
