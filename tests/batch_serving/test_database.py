"""Predictions in a real database, next to those in S3: each row once, the newest run wins."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from batch_serving import BatchError
from batch_serving.database import Database, Login
from batch_serving.table import Table
from tests.batch_serving.conftest import Place
from tests.batch_serving.real_mysql import MySql

ROWS = [{"id": f"customer-{number}", "value": number} for number in range(10)]
EXPECTED = {f"customer-{number}": str(2 * number) for number in range(10)}


class Killed(BaseException):
    """The process is gone: nothing that handles errors may run."""


@contextmanager
def killed_at(statement: int, *, after: bool) -> Iterator[list[int]]:
    """Ends a run before or after a statement reaches the server, which then loses the connection."""
    sent = [0]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(connection: Any, *arguments: Any, **more: Any) -> Any:
            sent[0] += 1
            if sent[0] == statement and not after:
                connection._force_close()
                raise Killed
            answer = original(connection, *arguments, **more)
            if sent[0] == statement:
                connection._force_close()
                raise Killed
            return answer

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("query", "commit"):
            patch.setattr(pymysql.connections.Connection, name, counted(getattr(pymysql.connections.Connection, name)))
        yield sent


def predictions(mysql: MySql, table: str) -> dict[str, str]:
    return {id: row["prediction"] for id, row in mysql.rows(table).items()}


def both(place: Place, mysql: MySql) -> list[Any]:
    return [Table(place.name, place.dynamodb), Database(mysql.login, place.relation)]


@pytest.fixture
def table(mysql: MySql, place: Place) -> str:
    """The table of the place."""
    mysql.new_table(place.relation)
    return place.relation


@pytest.mark.promise("batch-serving")
def test_predictions_are_found_by_model_and_id_in_both_databases(place: Place, mysql: MySql, table: str) -> None:
    place.give(a=ROWS)
    assert place.run(sinks=both(place, mysql)).complete().rows == 10
    assert predictions(mysql, table) == EXPECTED
    assert {id: item["prediction"] for id, item in place.items().items()} == EXPECTED
    assert mysql.rows(table)["customer-3"] == {"model": "double", "version": 7, "prediction": "6", "run": "monday"}
    assert len(place.written()) == 10


@pytest.mark.promise("batch-serving")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_is_killed_at_any_statement_continues_without_a_lost_or_doubled_row(
    new_place: Callable[[], Place], mysql: MySql, after: bool
) -> None:
    statement, finished = 0, False
    while not finished:
        statement += 1
        place = new_place()
        place.give(a=ROWS)
        mysql.new_table(place.relation)
        with killed_at(statement, after=after) as sent:
            try:
                place.run(sinks=[Database(mysql.login, place.relation)]).complete()
            except Killed:
                assert sent == [statement]
            else:
                finished = True
        place.run(sinks=[Database(mysql.login, place.relation)]).complete()
        assert predictions(mysql, place.relation) == EXPECTED
        assert [found["id"] for found in place.written()] == list(EXPECTED)
    assert statement > 10


@contextmanager
def failing_over_at(mysql: MySql, statement: int, *, after: bool, refusals: int) -> Iterator[list[float]]:
    """A failover before or after a statement: the connection is lost, nothing answers for a while, then a server that
    is still read-only, at last one that takes writes.

    :return: the pauses of the run, in seconds.
    """
    sent, refused, pauses = [0], [0], list[float]()
    user = mysql.login.user

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(connection: Any, *arguments: Any, **more: Any) -> Any:
            if connection.user != user.encode() or refused[0]:
                return original(connection, *arguments, **more)
            sent[0] += 1
            if sent[0] != statement:
                return original(connection, *arguments, **more)
            if after:
                original(connection, *arguments, **more)
            connection._force_close()
            refused[0] = 1
            mysql.execute("SET GLOBAL read_only = 1")
            raise pymysql.OperationalError(2013, "Lost connection to MySQL server during query")

        return call

    def connect(login: Login, original: Callable[[Login], Any] = Login.connect) -> Any:
        if login.user == user and 0 < refused[0] <= refusals:
            refused[0] += 1
            raise pymysql.OperationalError(2003, "Can't connect to MySQL server")
        return original(login)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if refused[0] > refusals and len(pauses) > refusals + 1:
            mysql.execute("SET GLOBAL read_only = 0")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("query", "commit"):
            patch.setattr(pymysql.connections.Connection, name, counted(getattr(pymysql.connections.Connection, name)))
        patch.setattr(Login, "connect", connect)
        patch.setattr("batch_serving.database.time.sleep", sleep)
        try:
            yield pauses
        finally:
            mysql.execute("SET GLOBAL read_only = 0")


@pytest.mark.promise("batch-serving")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failover_at_any_statement_of_a_run_loses_and_doubles_no_row(
    new_place: Callable[[], Place], mysql: MySql, after: bool
) -> None:
    statement = 0
    while True:
        statement += 1
        place = new_place()
        place.give(a=ROWS)
        mysql.new_table(place.relation)
        database = Database(mysql.login, place.relation)
        with failing_over_at(mysql, statement, after=after, refusals=20) as pauses:
            place.run(sinks=[database]).complete()
        assert predictions(mysql, place.relation) == EXPECTED
        assert [found["id"] for found in place.written()] == list(EXPECTED)
        if not pauses:
            break
        assert sum(pauses) > 60
    assert statement > 8


@pytest.mark.parametrize("code", [2003, 1290])
def test_a_server_that_stays_away_ends_the_run_after_five_minutes(mysql: MySql, table: str, code: int) -> None:
    pauses: list[float] = []

    def refuse(login: Login) -> Any:
        raise pymysql.OperationalError(code, "no server")

    database = Database(mysql.login, table)
    database._connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Login, "connect", refuse)
        patch.setattr("batch_serving.database.time.sleep", pauses.append)
        with pytest.raises(BatchError, match=f"MySQL error {code}: no server"):
            database.put([{"model": "m", "id": "a", "version": 1, "prediction": 1}], run="monday", started="1")
    assert 300 <= sum(pauses) < 310
    assert mysql.rows(table) == {}


@pytest.mark.promise("batch-serving")
def test_two_pods_of_a_run_at_the_same_time_write_every_row_once(place: Place, mysql: MySql, table: str) -> None:
    place.give(a=ROWS)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            place.run(sinks=[Database(mysql.login, table)], rows_per_part=2).complete()
        except BaseException as error:
            failed.append(error)

    pods = [threading.Thread(target=work) for _ in range(4)]
    for pod in pods:
        pod.start()
    for pod in pods:
        pod.join()
    assert failed == []
    assert predictions(mysql, table) == EXPECTED
    assert [found["id"] for found in place.written()] == list(EXPECTED)


def test_an_older_run_that_ends_late_replaces_no_row_of_a_newer_one(place: Place, mysql: MySql, table: str) -> None:
    place.give(a=ROWS)
    monday = place.run(sinks=[Database(mysql.login, table)])
    monday._plan()
    place.newest = 8
    place.run(name="tuesday", sinks=[Database(mysql.login, table)]).complete()
    monday.complete()
    assert {(row["run"], row["version"]) for row in mysql.rows(table).values()} == {("tuesday", 8)}


def test_ids_that_differ_in_case_spaces_or_accents_are_different_rows(place: Place, mysql: MySql, table: str) -> None:
    ids = ["a", "A", "a ", "ä", "a\u0308"]
    place.give(a=[{"id": id, "value": number} for number, id in enumerate(ids)])
    place.run(sinks=[Database(mysql.login, table)]).complete()
    assert predictions(mysql, table) == {id: str(2 * number) for number, id in enumerate(ids)}


def test_a_connection_that_the_server_closed_is_made_again(place: Place, mysql: MySql, table: str) -> None:
    database = Database(mysql.login, table)
    place.give(a=ROWS)
    mysql.execute(f"KILL {database._connection.thread_id()}")
    place.run(sinks=[database]).complete()
    assert predictions(mysql, table) == EXPECTED


def test_an_id_that_does_not_fit_ends_the_run_and_is_not_cut(place: Place, mysql: MySql, table: str) -> None:
    place.give(a=[{"id": "x" * 1025, "value": 1}])
    with pytest.raises(BatchError, match=r"MySQL error 1406: .*; ids have up to 1024 bytes; shorten them"):
        place.run(sinks=[Database(mysql.login, table)]).complete()
    assert mysql.rows(table) == {}
    assert place.written() == []


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("absent", "", "the table does not exist; create it with: CREATE TABLE absent \\( model VARBINARY"),
        ("other", "id INT PRIMARY KEY", "it has other columns or keys; create it with"),
        (
            "texts",
            "model VARCHAR(63), id VARCHAR(255), version INT, prediction JSON, run VARCHAR(9), started VARCHAR(32), "
            "PRIMARY KEY (model, id)",
            "it has other columns or keys; create it with",
        ),
        ("a`b", "", "--database-table: must be letters, digits and '_'"),
    ],
)
def test_a_table_in_which_rows_would_be_lost_is_refused_before_the_run(
    mysql: MySql, name: str, columns: str, message: str
) -> None:
    if columns:
        mysql.execute(f"CREATE TABLE `{name}` ({columns})")
    with pytest.raises(BatchError, match=message):
        Database(mysql.login, name)


def test_a_user_that_may_not_write_is_refused_by_table(place: Place, mysql: MySql, table: str) -> None:
    mysql.execute("CREATE USER reader IDENTIFIED BY 'reads'")
    mysql.execute(f"GRANT SELECT ON predictions.`{table}` TO reader")
    place.give(a=ROWS)
    with pytest.raises(BatchError, match=r"MySQL error 1142: .*; grant the user SELECT, INSERT and UPDATE"):
        place.run(sinks=[Database(replace(mysql.login, user="reader", password="reads"), table)]).complete()
    assert place.written() == []


def test_a_server_of_an_unknown_authority_gets_no_password(mysql: MySql, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"certificate verify failed.*--database-authority"):
        Database(replace(mysql.login, authority=None))
    with pytest.raises(BatchError, match="No such file or directory.*; correct --database-authority"):
        Database(replace(mysql.login, authority=tmp_path / "absent.pem"))


def test_a_wrong_password_is_refused_and_not_shown(mysql: MySql) -> None:
    with pytest.raises(BatchError, match="MySQL error 1045: .*; correct user and password in the secret") as refused:
        Database(replace(mysql.login, password="no such word"))
    assert "no such word" not in str(refused.value)
    assert "password" not in repr(mysql.login)


def test_a_secret_in_the_form_of_rds_gives_the_login(client: Callable[[str], Any], mysql: MySql) -> None:
    secrets = client("secretsmanager")
    secrets.create_secret(Name="batch/database", SecretString=mysql.secret())
    assert Login.of_secret("batch/database", secrets, authority=mysql.login.authority) == mysql.login


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "--database: .*: ResourceNotFoundException; check its name, and grant the role of the job access"),
        ("no JSON", "must be JSON with host, port, username, password and dbname"),
        ('{"host": "db"}', "must be JSON with host, port, username, password and dbname"),
    ],
)
def test_a_secret_of_another_form_is_refused(client: Callable[[str], Any], content: str | None, message: str) -> None:
    secrets, name = client("secretsmanager"), f"batch/{len(content or '')}"
    if content is not None:
        secrets.create_secret(Name=name, SecretString=content)
    with pytest.raises(BatchError, match=message) as refused:
        Login.of_secret(name, secrets)
    assert content is None or content not in str(refused.value)
