"""The users of the database inside the cluster, on a real server: what the scripts of the pod write, MariaDB executes.

MySQL 8.4 itself is in no registry of packages. Its way to authenticate and its own start are not shown here.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from charts.kit.chart import pod_specs
from tests.batch_serving.real_mysql import MySql, missing, running
from tests.charts.kubeflow.runs import stores

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

REGISTRIES = ("modelschurn", "modelsfraud")
SERVICES, SERVICE_DATABASES = "kubeflow", ("mlpipeline", "metadb")
OBJECTS = stores()["mysql"].to_json()


def statements_of_owners(folder: Path, passwords: dict[str, str]) -> list[str]:
    """What the init container writes for the model registries."""
    folder.mkdir()
    [found] = [one for one in OBJECTS if one["kind"] == "StatefulSet"]
    [pod] = pod_specs(found)
    [writing] = pod["initContainers"]
    for name, password in passwords.items():
        (folder / name).write_text(password, encoding="utf-8")
    script = writing["command"][2].replace("/passwords/", f"{folder}/").replace("/etc/mysql-owners/", f"{folder}/")
    subprocess.run([*writing["command"][:2], script, *writing["command"][3:]], check=True)
    return (folder / "owners.sql").read_text(encoding="utf-8").splitlines()


def statements_for_services() -> list[str]:
    """What the script for an empty disk gives to the image's function, which runs it as the administrator."""
    [scripts] = [one["data"] for one in OBJECTS if one["kind"] == "ConfigMap"]
    ran = subprocess.run(
        ["bash", "-euc", f"docker_process_sql() {{ cat; }}\n{scripts['databases.sh']}"],
        env={"MYSQL_USER": SERVICES, "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    return [each.strip() for each in ran.stdout.replace("\n", " ").split(";") if each.strip()]


def rows(server: MySql, user: str, password: str, statement: str) -> Any:
    """What a statement returns to a user.

    :raises pymysql.MySQLError: if the server refuses the user or the statement.
    """
    login = replace(server.login, user=user, password=password, database="information_schema")
    with login.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()
        return cursor.fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySql]:
    """With the users of a first start, whose passwords are their names."""
    folder = tmp_path_factory.mktemp("database")
    with running(folder) as found:
        found.execute(f"CREATE USER '{SERVICES}'@'%' IDENTIFIED BY '{SERVICES}'")  # as the image does
        for statement in statements_for_services():
            found.execute(statement)
        for statement in statements_of_owners(folder / "first", {name: name for name in REGISTRIES}):
            found.execute(statement)
        yield found


@pytest.mark.promise("model-registry", "team-isolation")
@pytest.mark.parametrize(("own", "other"), [REGISTRIES, REGISTRIES[::-1]])
def test_a_model_registry_uses_its_own_database_and_is_refused_others(server: MySql, own: str, other: str) -> None:
    rows(server, own, own, f"CREATE TABLE {own}.models (name varchar(20))")
    rows(server, own, own, f"INSERT INTO {own}.models VALUES ('churn')")
    assert len(rows(server, own, own, f"SELECT name FROM {own}.models")) == 1
    for database in (other, *SERVICE_DATABASES):
        with pytest.raises(pymysql.MySQLError, match="denied"):
            rows(server, own, own, f"CREATE TABLE {database}.stolen (name varchar(20))")


def test_the_services_of_kubeflow_share_a_user_that_cannot_read_model_registries(server: MySql) -> None:
    for database in SERVICE_DATABASES:
        rows(server, SERVICES, SERVICES, f"CREATE TABLE {database}.runs (name varchar(20))")
    with pytest.raises(pymysql.MySQLError, match="denied"):
        rows(server, SERVICES, SERVICES, f"CREATE TABLE {REGISTRIES[0]}.stolen (name varchar(20))")


@pytest.mark.promise("model-registry")
def test_a_later_start_keeps_the_data_and_sets_the_new_password(tmp_path: Path, server: MySql) -> None:
    name = REGISTRIES[0]
    rows(server, name, name, f"CREATE TABLE {name}.versions (name varchar(20))")
    for statement in statements_of_owners(tmp_path / "second", {each: f"new0{each}" for each in REGISTRIES}):
        server.execute(statement)
    try:
        assert len(rows(server, name, f"new0{name}", f"SELECT name FROM {name}.versions")) == 0
        with pytest.raises(pymysql.MySQLError, match="denied"):
            rows(server, name, name, "SELECT 1")
    finally:
        for statement in statements_of_owners(tmp_path / "third", {each: each for each in REGISTRIES}):
            server.execute(statement)
