"""A MySQL server for components that keep their data in one: MariaDB of Debian, in a pod."""

import secrets
from typing import Any

from charts.kit.objects import config_map, metadata, namespace
from charts.kit.security import RESTRICTED_CONTAINER, run_as
from charts.kit.stores import Database

IMAGE = "docker.io/library/mariadb:10.11"
_USER = 999
_FILES = "/etc/start"
_TABLES = " ".join(
    f"/usr/share/mysql/{name}.sql"
    for name in ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")
)
_OPTIONS = "--no-defaults --datadir=/data --tmpdir=/tmp --innodb-use-native-aio=0"
_START = f"""set -e
busybox mkdir -p /data/mysql
(echo 'CREATE DATABASE IF NOT EXISTS mysql;'; echo 'USE mysql;'; cat {_TABLES}) | mariadbd {_OPTIONS} --bootstrap
exec mariadbd {_OPTIONS} --socket=/tmp/server.sock --init-file={_FILES}/init.sql
"""


def database_server(database: Database) -> list[dict[str, Any]]:
    """The objects of a server with an empty database, a user with a new password, and the Secret with both.

    :param database: its host is ``<name of the Service>.<namespace>``.
    """
    name, _, place = database.host.partition(".")
    user, password = database.name, secrets.token_hex()
    statements = [
        f"CREATE DATABASE `{database.name}`;",
        f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';",
        f"GRANT ALL ON `{database.name}`.* TO '{user}'@'%';",
    ]
    labels = {"app": name}
    container = {
        "name": "mariadb",
        "image": IMAGE,
        "command": ["sh", f"{_FILES}/start.sh"],
        "ports": [{"containerPort": database.port}],
        "readinessProbe": {"tcpSocket": {"port": database.port}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": [
            {"name": "start", "mountPath": _FILES},
            {"name": "data", "mountPath": "/data"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        "securityContext": run_as(_USER),
        "containers": [container],
        "volumes": [
            {"name": "start", "configMap": {"name": name}},
            {"name": "data", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return [
        namespace(place),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(database.secret, place),
            "stringData": {"username": user, "password": password},
        },
        config_map(name, place, {"start.sh": _START, "init.sql": "\n".join(statements) + "\n"}),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(name, place),
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(name, place),
            "spec": {"selector": labels, "ports": [{"port": database.port}]},
        },
    ]
