"""The function that makes users and rotates passwords, on a stand-in for MySQL that keeps two passwords of a user."""

import json
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aws_rehearsal.emulator import mysql_standin
from mlplatform_constructs._data.metadata_database_handler import index, mysql, rotation, setup

HOST = "db.example.eu-west-1.rds.amazonaws.com"
MASTER = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:rds!db-1"
SECRET = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:metadata"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Interrupted(Exception):
    """The function was killed."""


class Store:
    """Secrets Manager: versions and their stages. Dies after ``patience`` writes, before or after doing the last."""

    class exceptions:
        class ResourceNotFoundException(Exception): ...

    def __init__(self) -> None:
        self.contents: dict[str, dict[str, str]] = {}
        self.stages: dict[str, dict[str, str]] = {}
        self.interruption = Interruption()

    def add(self, secret: str, **content: Any) -> None:
        self.contents[secret] = {"first": json.dumps(content)}
        self.stages[secret] = {"AWSCURRENT": "first"}

    def start(self, token: str) -> None:
        """What RotateSecret does: a version without content."""
        self.stages[SECRET]["AWSPENDING"] = token

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        versions: dict[str, list[str]] = {version: [] for version in self.contents[SecretId]}
        for stage, version in self.stages[SecretId].items():
            versions.setdefault(version, []).append(stage)
        return {"VersionIdsToStages": versions}

    def get_secret_value(self, *, SecretId: str, VersionId: str = "", VersionStage: str = "AWSCURRENT") -> Any:
        version = self.stages[SecretId].get(VersionStage)
        if version not in self.contents[SecretId] or VersionId not in ("", version):
            raise self.exceptions.ResourceNotFoundException(f"{VersionStage} {VersionId}")
        return {"SecretString": self.contents[SecretId][version]}

    def put_secret_value(
        self, *, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> None:
        with self.interruption:
            self.contents[SecretId][ClientRequestToken] = SecretString
            self.stages[SecretId] |= dict.fromkeys(VersionStages, ClientRequestToken)

    def update_secret_version_stage(
        self, *, SecretId: str, VersionStage: str, MoveToVersionId: str, RemoveFromVersionId: str
    ) -> None:
        with self.interruption:
            assert self.stages[SecretId][VersionStage] == RemoveFromVersionId
            self.stages[SecretId] |= {"AWSPREVIOUS": RemoveFromVersionId, VersionStage: MoveToVersionId}

    def password(self, version: str = "") -> str:
        content = self.contents[SECRET][version or self.stages[SECRET]["AWSCURRENT"]]
        return str(json.loads(content)["password"])


class Interruption:
    """Kills the function around a write: before the n-th, or right after it."""

    def __init__(self) -> None:
        self.writes_left: int | None = None
        self.after = False

    def __enter__(self) -> None:
        if self.writes_left == 0 and not self.after:
            self.writes_left = None
            raise Interrupted

    def __exit__(self, *error: object) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0 and self.after and not any(error):
                self.writes_left = None
                raise Interrupted


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(mysql_standin.FILE, str(tmp_path / "servers.json"))
    monkeypatch.setattr(mysql, "pymysql", mysql_standin)
    return fresh()


def fresh(plugin: str = "mysql_native_password") -> Store:
    """A new server, and the secrets of its master user and of one consumer."""
    mysql_standin.start_server(HOST, "of-the-master")
    store = Store()
    store.add(MASTER, username="master", password="of-the-master")
    store.add(
        SECRET,
        host=HOST,
        port=3306,
        username="metadata",
        dbname="metadb",
        authentication=plugin,
        password="0riginal",
    )
    return store


def set_up(store: Store) -> str:
    return setup.set_up(store, master=MASTER, secrets=[SECRET])


def rotate(store: Store, token: str, steps: tuple[str, ...] = STEPS) -> None:
    for step in steps:
        rotation.rotate(store, master=MASTER, secret=SECRET, token=token, step=step)


def lets_in(password: str) -> bool:
    return mysql.lets_in(mysql.Login(HOST, 3306, "metadata", password), "metadb")


def account() -> dict[str, Any]:
    user: dict[str, Any] = mysql_standin.servers()[HOST]["users"]["metadata"]
    return user


@pytest.mark.promise("database-per-service")
def test_setup_makes_a_database_and_a_user_that_owns_it_and_nothing_else(store: Store) -> None:
    assert set_up(store) == "metadata owns metadb"
    assert mysql_standin.servers()[HOST]["databases"] == ["metadb"]
    assert account() == {"plugin": "mysql_native_password", "passwords": ["0riginal"], "databases": ["metadb"]}


def test_setup_again_changes_nothing_even_between_rotations(store: Store) -> None:
    set_up(store)
    store.start("second")
    rotate(store, "second", STEPS[:3])
    before = mysql_standin.servers()
    set_up(store)
    assert mysql_standin.servers() == before


def test_setup_gives_the_user_of_a_restored_instance_the_password_of_its_secret(store: Store) -> None:
    set_up(store)
    store.add(SECRET, **json.loads(store.contents[SECRET]["first"]) | {"password": "fr0mElsewhere"})
    set_up(store)
    assert lets_in("fr0mElsewhere")


@pytest.mark.promise("passwords-rotate")
def test_the_password_in_use_works_until_the_next_rotation(store: Store) -> None:
    set_up(store)
    for token in ("second", "third"):
        held = store.password()
        store.start(token)
        rotate(store, token)
        assert store.password() != held
        assert lets_in(held)
        assert lets_in(store.password())
    assert not lets_in("0riginal")


def test_a_rotation_changes_nothing_but_the_password(store: Store) -> None:
    set_up(store)
    store.start("second")
    rotate(store, "second")
    first, second = (json.loads(store.contents[SECRET][version]) for version in ("first", "second"))
    assert {**first, "password": ""} == {**second, "password": ""}
    assert account()["plugin"] == "mysql_native_password"


@pytest.mark.promise("passwords-rotate")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_interrupted_consumers_get_in(
    tmp_path: Path, data: st.DataObject, monkeypatch_session: pytest.MonkeyPatch
) -> None:
    """The function is killed before or after any write, then retried with the same version or replaced by a new one."""
    store = fresh()
    set_up(store)
    held = store.password()
    run = mysql.Session._run

    def interrupted_run(session: mysql.Session, statement: str, *values: str) -> None:
        with store.interruption:
            run(session, statement, *values)

    monkeypatch_session.setattr(mysql.Session, "_run", interrupted_run)
    try:
        for attempt in range(data.draw(st.integers(1, 6), label="attempts")):
            pending = store.stages[SECRET].get("AWSPENDING")
            again = pending is not None and data.draw(st.booleans(), label="same version again")
            token = pending if again and pending else f"version-{attempt}"
            if not again:
                store.start(token)
                held = store.password()
            store.interruption.writes_left = data.draw(st.none() | st.integers(0, 4), label="writes")
            store.interruption.after = data.draw(st.booleans(), label="after the write")
            try:
                rotate(store, token)
            except Interrupted:
                pass
            else:
                assert store.stages[SECRET]["AWSCURRENT"] == token
            store.interruption.writes_left = None
            assert lets_in(store.password())
            assert lets_in(held)
    finally:
        monkeypatch_session.undo()


@pytest.fixture
def monkeypatch_session(store: Store) -> Iterator[pytest.MonkeyPatch]:
    """Patches that an example of a property takes back itself."""
    with pytest.MonkeyPatch.context() as patches:
        yield patches


def test_every_password_is_long_and_of_letters_and_digits() -> None:
    passwords = {rotation.new_password() for _ in range(100)}
    assert len(passwords) == 100
    assert all(len(each) == 32 and each.isascii() and each.isalnum() for each in passwords)


@given(password=st.text(min_size=1), key=st.sampled_from(["username", "dbname"]), name=st.text())
def test_names_are_plain_and_passwords_never_part_of_a_statement(password: str, key: str, name: str) -> None:
    secret = {"username": "katib", "dbname": "katib", "authentication": "caching_sha2_password"} | {key: name}
    if not (name.isascii() and name.isalnum() and name.islower() and name[0].isalpha() and len(name) <= 32):
        with pytest.raises(ValueError, match=f"secret: {key} must be 1 to 32 lower-case letters and digits"):
            mysql.Consumer.of(secret, "secret")
        return
    recorder = Recorder()
    session = mysql.Session(recorder, "here")
    session.make(mysql.Consumer.of(secret, "secret"), password)
    session.add_password(mysql.Consumer.of(secret, "secret"), password, keep=password)
    for statement, values in recorder.statements:
        assert statement.count("%s") == len(values)
        assert not set(statement) & set("'\"\\;")
    assert [values[-1] for _, values in recorder.statements if "IDENTIFIED" in _] == [password] * 3


class Recorder:
    """A connection that keeps statements."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, tuple[str, ...]]] = []

    def cursor(self) -> "Recorder":
        return self

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None: ...

    def execute(self, statement: str, values: tuple[str, ...]) -> None:
        self.statements.append((statement, values))


def test_an_error_names_place_and_fix_but_no_password() -> None:
    class Refusing(Recorder):
        def execute(self, statement: str, values: tuple[str, ...]) -> None:
            raise pymysql.OperationalError(1524, f"Plugin is not loaded near {values[-1]!r}")

    session = mysql.Session(Refusing(), "master@db:3306")
    with pytest.raises(mysql.DatabaseError) as error:
        session.set_password(mysql.Consumer("metadata", "metadb", "mysql_native_password"), "s3cret")
    assert str(error.value) == (
        "master@db:3306: MySQL error 1524: Plugin is not loaded near '***'; the server has not loaded the plugin; "
        "turn it on in the parameter group, see docs/metadata-database.md"
    )


def test_fails_on_a_plugin_that_is_none(store: Store) -> None:
    with pytest.raises(ValueError, match="authentication must be caching_sha2_password or mysql_native_password"):
        set_up(fresh(plugin="none; DROP USER master"))


def test_fails_on_a_version_that_was_never_started(store: Store) -> None:
    set_up(store)
    with pytest.raises(ValueError, match="no version unknown; start the rotation again"):
        rotate(store, "unknown", ("setSecret",))


def test_fails_on_a_step_that_is_none(store: Store) -> None:
    store.start("second")
    rotate(store, "second", ("createSecret",))
    with pytest.raises(ValueError, match="step must be one of Secrets Manager's four, got 'undo'"):
        rotate(store, "second", ("undo",))


def test_fails_on_a_password_that_the_server_was_not_told(store: Store) -> None:
    set_up(store)
    store.start("second")
    rotate(store, "second", ("createSecret",))
    with pytest.raises(ValueError, match="the server refuses the password of version second; start the rotation"):
        rotate(store, "second", ("testSecret",))


def test_only_authorities_of_rds_are_trusted_and_only_for_the_name_that_is_called() -> None:
    trust = mysql._trust()
    assert trust.check_hostname
    assert trust.verify_mode is ssl.CERT_REQUIRED
    assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert all("Amazon RDS" in str(authority["subject"]) for authority in trust.get_ca_certs())


def test_a_server_without_tls_hears_no_password() -> None:
    greeting = (
        b"\x0a8.4.0\x00\x01\x00\x00\x00abcdefgh\x00\x0f\xa2\x2d\x02\x00\x0f\x00\x15"
        + b"\x00" * 10
        + b"ijklmnopqrst\x00"
    ) + b"caching_sha2_password\x00"
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(len(greeting).to_bytes(3, "little") + b"\x00" + greeting)
                client.settimeout(10)
                heard.append(client.recv(4096))

        thread = threading.Thread(target=serve)
        thread.start()
        login = mysql.Login("127.0.0.1", server.getsockname()[1], "metadata", "0riginal")
        with pytest.raises(mysql.DatabaseError, match="SSL is required"):
            mysql.lets_in(login, "metadb")
        thread.join(timeout=20)
    assert heard == [b""]


def test_cloudformation_is_answered_with_what_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(index, "_store", lambda: store)
    index.handler(event("Create"), None)
    assert (answers[0]["Status"], answers[0]["Reason"]) == ("SUCCESS", "metadata owns metadb")
    index.handler(event("Update", PhysicalResourceId=answers[0]["PhysicalResourceId"]), None)
    assert answers[1]["PhysicalResourceId"] == answers[0]["PhysicalResourceId"]
    before = mysql_standin.servers()
    index.handler(event("Delete", PhysicalResourceId="metadata-users-1"), None)
    assert answers[2]["Status"] == "SUCCESS"
    assert mysql_standin.servers() == before


def test_cloudformation_is_told_what_went_wrong_within_its_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]
) -> None:
    store.add(SECRET, username="x" * 10_000)
    monkeypatch.setattr(index, "_store", lambda: store)
    index.handler(event("Create"), None)
    assert answers[0]["Status"] == "FAILED"
    assert "restore the previous version of the secret (log group /aws/lambda/users)" in answers[0]["Reason"]
    assert len(json.dumps(answers[0])) < 4096


def test_secrets_manager_sees_a_failed_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_store", lambda: store)
    monkeypatch.setenv("MASTER_SECRET", MASTER)
    with pytest.raises(ValueError, match="no version unknown"):
        index.handler({"SecretId": SECRET, "ClientRequestToken": "unknown", "Step": "testSecret"}, None)


def event(kind: str, **more: str) -> dict[str, Any]:
    properties = {"Secrets": [SECRET]}
    ids = {"StackId": "stack", "RequestId": "1", "LogicalResourceId": "Users", "ResponseURL": "https://example.com"}
    return {"RequestType": kind, "ResourceProperties": properties, **ids, **more}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What CloudFormation would hear."""
    heard: list[dict[str, Any]] = []

    class Response:
        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    def urlopen(request: urllib.request.Request, timeout: float) -> Response:
        assert isinstance(request.data, bytes)
        heard.append(json.loads(request.data))
        return Response()

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setenv("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/users")
    monkeypatch.setenv("MASTER_SECRET", MASTER)
    return heard
