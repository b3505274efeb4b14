"""Predictions in MySQL, such as RDS for MySQL, by model and id of the record: the newest run wins.

The server is reached over TLS only. User and password are read from Secrets Manager when a run begins.
"""

import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from botocore.exceptions import BotoCoreError, ClientError

from batch_serving.errors import BatchError

SCHEMA = """\
CREATE TABLE {table} (
    model VARBINARY(63) NOT NULL,
    id VARBINARY(1024) NOT NULL,
    version INT UNSIGNED NOT NULL,
    prediction JSON NOT NULL,
    run VARBINARY(255) NOT NULL,
    started VARBINARY(32) NOT NULL,
    PRIMARY KEY (model, id)
)"""
"""The table. Ids are bytes, because MySQL compares text regardless of case and trailing spaces, and the prediction of
one id would replace that of another."""
_STATEMENT = """\
INSERT INTO {table} (model, id, version, prediction, run, started) VALUES (%s, %s, %s, %s, %s, %s)
ON DUPLICATE KEY UPDATE
    version = IF(VALUES(started) >= started, VALUES(version), version),
    prediction = IF(VALUES(started) >= started, VALUES(prediction), prediction),
    run = IF(VALUES(started) >= started, VALUES(run), run),
    started = GREATEST(VALUES(started), started)"""
"""MySQL assigns in the order of the statement, so ``started`` comes last."""
_COLUMNS = """\
SELECT COLUMN_NAME, DATA_TYPE, COLUMN_KEY FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION"""
_KEY = {"model": "varbinary", "id": "varbinary"}
_NAMES = {"model", "id", "version", "prediction", "run", "started"}
_STRICT = "SET SESSION sql_mode = 'STRICT_ALL_TABLES'"
"""Without it, a server may truncate values that are too long."""
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_AGAIN = (1205, 1213)
"""Errors if another pod of the run writes the same rows: lock wait timeout, deadlock."""
_LOST = (1927, 2006, 2013, 3169, 4031)
"""Errors of a closed connection. A server closes connections that are idle for long, and in a failover."""
_FAILOVER = (1040, 1053, 1290, 1836, 2003)
"""Errors of a server that fails over: all clients connect at once, it shuts down, it is read-only until it is the new
primary, or nothing answers at its address yet."""
_SECONDS = 30
_PATIENCE_SECONDS = 300
"""A failover of a Multi-AZ instance takes 60 to 120 seconds, and longer with large transactions.
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.MultiAZSingleStandby.html"""
_LONGEST_PAUSE = 5.0
_FIXES = {
    1044: "grant the user SELECT, INSERT and UPDATE on the table",
    1045: "correct user and password in the secret",
    1049: "correct dbname in the secret",
    1142: "grant the user SELECT, INSERT and UPDATE on the table",
    1406: "ids have up to 1024 bytes; shorten them in the data set",
    2003: "check address, security groups, and that --database-authority signed the certificate of the server",
}


@dataclass(frozen=True)
class Login:
    """Address and credentials of a database.

    :param authority: file with the certificates of the authorities that sign that of the server. Default: those of the
        system.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    authority: Path | None = None

    @classmethod
    def of_secret(cls, name: str, client: Any, *, authority: Path | None = None) -> "Login":
        """From a secret in the form of RDS: JSON with ``host``, ``port``, ``username``, ``password`` and ``dbname``.

        :param name: name or ARN of the secret.
        :param client: a boto3 client of Secrets Manager.
        :raises BatchError: for a secret that cannot be read, or has another form.
        """
        place = f"--database: {name}"
        try:
            text = client.get_secret_value(SecretId=name)["SecretString"]
            found = json.loads(text)
            return cls(
                found["host"], int(found["port"]), found["username"], found["password"], found["dbname"], authority
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise BatchError(f"{place}: {code}; check its name, and grant the role of the job access to it") from None
        except BotoCoreError as error:
            raise BatchError(f"{place}: {error}; check credentials, region and network") from None
        except (KeyError, TypeError, ValueError):
            raise BatchError(
                f"{place}: must be JSON with host, port, username, password and dbname; write it in that form"
            ) from None

    def connect(self) -> Any:
        """A connection over verified TLS.

        :raises pymysql.MySQLError: if the server cannot be reached or refuses the user.
        """
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            database=self.database,
            ssl=self._trust(),
            init_command=_STRICT,
            connect_timeout=_SECONDS,
            read_timeout=_SECONDS,
            write_timeout=_SECONDS,
        )

    def _trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority) if self.authority else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Python 3.13 and later require key identifiers, which not all certificates of RDS have.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


class Database:
    """A table of :data:`SCHEMA`.

    :param login: of a user with SELECT, INSERT and UPDATE on the table.
    :param table: name of the table. Default: ``predictions``.
    :raises BatchError: if the server cannot be reached, or the table has another form.
    """

    def __init__(self, login: Login, table: str = "predictions") -> None:
        if not _TABLE.fullmatch(table):
            raise BatchError(
                f"--database-table: must be letters, digits and '_' and begin with no digit, got {table!r}"
            )
        self._place = f"--database: {login.database}.{table} at {login.host}:{login.port}"
        self._login, self._statement = login, _STATEMENT.format(table=f"`{table}`")
        try:
            self._connection = login.connect()
            with self._connection.cursor() as cursor:
                cursor.execute(_COLUMNS, (table,))
                columns = cursor.fetchall()
        except pymysql.MySQLError as error:
            raise self._refused(error) from None
        except (OSError, ssl.SSLError) as error:
            raise BatchError(f"{self._place}: {error}; correct --database-authority") from None
        keys = {str(name): str(type).lower() for name, type, key in columns if key == "PRI"}
        if keys != _KEY or {str(name) for name, *_ in columns} != _NAMES:
            found = "the table does not exist" if not columns else "it has other columns or keys"
            schema = " ".join(SCHEMA.format(table=table).split())
            raise BatchError(f"{self._place}: {found}; create it with: {schema}")

    def put(self, predictions: Sequence[Mapping[str, Any]], *, run: str, started: str) -> None:
        """Write predictions in one transaction, except those that a later run has written.

        A lost connection and a failover of the server are survived: the transaction is repeated for five minutes.

        :param started: when the run began; a repetition has the same time.
        :raises BatchError: if the table cannot be written.
        """
        rows = [
            (each["model"], each["id"], each["version"], json.dumps(each["prediction"]), run, started)
            for each in predictions
        ]
        pauses = _pauses()
        while True:
            try:
                if not self._connection.open:
                    self._connection = self._login.connect()
                with self._connection.cursor() as cursor:
                    cursor.executemany(self._statement, rows)
                self._connection.commit()
                return
            except pymysql.MySQLError as error:
                pause = next(pauses, None) if error.args[0] in (*_AGAIN, *_LOST, *_FAILOVER) else None
                if pause is None:
                    raise self._refused(error) from None
                if self._connection.open:
                    self._connection.close()  # which rolls back
            time.sleep(pause)

    def _refused(self, error: pymysql.MySQLError) -> BatchError:
        code, text = (*error.args, "")[:2]
        return BatchError(f"{self._place}: MySQL error {code}: {text}; {_FIXES.get(code, 'try again')}")


def _pauses() -> Iterator[float]:
    """Seconds to wait between attempts: a tenth at first, then twice as long each time up to five seconds."""
    pause, waited = 0.1, 0.0
    while waited < _PATIENCE_SECONDS:
        yield pause
        waited += pause
        pause = min(2 * pause, _LONGEST_PAUSE)
