"""MySQL 8.4 inside the cluster, for Kubeflow without a database in AWS.

https://hub.docker.com/_/mysql
"""

from collections.abc import Sequence
from dataclasses import dataclass

from constructs import Construct

from charts.kit import istio, network
from charts.kit.chart import ComponentChart
from charts.kit.objects import Manifest, config_map, selector
from charts.kit.rbac import service_account
from charts.kit.security import run_as
from charts.kit.synced_secrets import secret_values, secret_volume, synced_secret
from charts.kit.workloads import container, from_secret, pod, resources, service, stateful_set, tcp_probes

NAME = "mysql"
NAMESPACE = "kubeflow"
PORT = 3306
HOST = f"{NAME}.{NAMESPACE}"

_USER = 999  # of the image
_SCRIPTS = "mysql-databases"
_SECRETS = "/etc/mysql-credentials"
_DATA = "/var/lib/mysql"
_OWNERS = "mysql-owners"
_OWNERS_FOLDER, _PASSWORDS_FOLDER, _STATEMENTS = "/etc/mysql-owners", "/passwords", "owners.sql"
_WRITE_OWNERS = f"""set -eu
for name in "$@"; do
  password=$(cat {_PASSWORDS_FOLDER}/"$name")
  printf "CREATE DATABASE IF NOT EXISTS %s;\\n" "$name"
  printf "CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\\n" "$name" "$password"
  printf "ALTER USER '%s'@'%%' IDENTIFIED BY '%s';\\n" "$name" "$password"
  printf "GRANT ALL ON %s.* TO '%s'@'%%';\\n" "$name" "$name"
done > {_OWNERS_FOLDER}/{_STATEMENTS}
"""
"""Writes the statements that create each database and its owner, one a line, as ``--init-file`` requires."""
_START = f"""if [ -d {_DATA}/mysql ]; then set -- "$@" --init-file={_OWNERS_FOLDER}/{_STATEMENTS}; fi
exec docker-entrypoint.sh mysqld "$@"
"""
"""On an empty disk, the server cannot create users from ``--init-file``; the image's own scripts create them."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A user that owns one database, for pods of another namespace.

    :param name: of the user and of the database; letters and digits.
    :param secret_arn: secret with ``password``, of letters and digits.
    :param namespace: of the pods.
    :param service_account: of the pods.
    :param workload: name of the Deployment whose pods connect.
    """

    name: str
    secret_arn: str
    namespace: str
    service_account: str
    workload: str


class MySql(ComponentChart):
    """One server with one disk. It has no replica and no backup: use the database in AWS for anything that must last.

    On an empty disk it creates the databases, and a user that owns them. At every start it creates the databases and
    users of ``owners`` that do not exist, and sets their passwords. Programs reach it through the mesh, which encrypts
    the connection.

    :param image: of MySQL.
    :param databases: names.
    :param secret_arn: secret with ``username`` and ``password``, from which the Secret ``mysql`` is made.
    :param root_secret_arn: secret with ``root_password``, which goes into the same Secret.
    :param region: of the secrets.
    :param clients: service accounts of the namespace that may connect.
    :param owners: users with one database each. A new owner restarts the server. Default: none.
    :param storage_gib: size of the disk.
    :param placement: node selection and tolerations of the platform's own pods.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        image: str,
        databases: Sequence[str],
        secret_arn: str,
        root_secret_arn: str,
        region: str,
        clients: Sequence[str],
        owners: Sequence[Owner] = (),
        storage_gib: int,
        placement: Manifest,
    ) -> None:
        super().__init__(scope, id)
        passwords = {owner.name: owner.secret_arn for owner in owners}
        self.add(
            synced_secret(
                NAME,
                NAMESPACE,
                region=region,
                keys_by_arn={secret_arn: ["username", "password"], root_secret_arn: ["root_password"]},
            ),
            config_map(_SCRIPTS, NAMESPACE, {"databases.sh": _script(databases)}),
            *([secret_values(_OWNERS, NAMESPACE, region=region, key="password", secrets=passwords)] if owners else []),
            service_account(NAME, NAMESPACE),
            stateful_set(
                NAME,
                NAMESPACE,
                _pod(image, list(passwords), placement),
                replicas=1,
                claims={"data": f"{storage_gib}Gi"},
                pod_labels={"sidecar.istio.io/inject": "true"},
            ),
            service(NAME, NAMESPACE, {"tcp-mysql": (PORT, "mysql")}),
            istio.admits(
                NAME,
                NAMESPACE,
                *(f"{NAMESPACE}/{client}" for client in clients),
                *(f"{owner.namespace}/{owner.service_account}" for owner in owners),
            ),
            network.takes(
                NAME,
                NAMESPACE,
                network.allow(
                    *({"podSelector": {"matchLabels": selector(client)}} for client in clients),
                    *(network.pods_of(owner.namespace, selector(owner.workload)) for owner in owners),
                    ports=["mysql"],
                ),
            ),
        )


def _pod(image: str, owners: Sequence[str], placement: Manifest) -> Manifest:
    owning = {_OWNERS_FOLDER: "owners"} if owners else {}
    main = container(
        NAME,
        image,
        command=["bash", "-c", _START, NAME] if owners else [],
        args=[
            # ML Metadata knows no newer way to sign in; its client is linked against an old library.
            "--mysql-native-password=ON",
            "--authentication-policy=mysql_native_password",
            "--disable-log-bin",
        ],
        env={
            "MYSQL_ROOT_PASSWORD": from_secret(NAME, "root_password"),
            "MYSQL_USER": from_secret(NAME, "username"),
            "MYSQL_PASSWORD": from_secret(NAME, "password"),
        },
        ports={"mysql": PORT},
        probes=tcp_probes("mysql"),
        mounts={
            _DATA: "data",
            "/var/run/mysqld": "scratch",
            "/tmp": "scratch",
            "/docker-entrypoint-initdb.d": "scripts",
            _SECRETS: "credentials",
            **owning,
        },
        read_only=["/docker-entrypoint-initdb.d", _SECRETS, *owning],
        resources=resources(cpu="250m", memory="1Gi"),
    )
    writing = container(
        "write-owners",
        image,
        command=["bash", "-c", _WRITE_OWNERS, "bash", *owners],
        mounts={**owning, _PASSWORDS_FOLDER: "passwords"},
        read_only=[_PASSWORDS_FOLDER],
        resources=resources(cpu="10m", memory="32Mi"),
    )
    volumes: dict[str, Manifest] = {
        "scratch": {"emptyDir": {}},
        "scripts": {"configMap": {"name": _SCRIPTS}},
        "credentials": secret_volume(NAME),
    }
    if owners:
        volumes |= {"owners": {"emptyDir": {"medium": "Memory"}}, "passwords": secret_volume(_OWNERS)}
    return pod(
        main,
        service_account=NAME,
        volumes=volumes,
        security=run_as(_USER),
        placement=placement,
        terminationGracePeriodSeconds=120,  # time to write what is in memory
        initContainers=[writing] if owners else [],
    )


def _script(databases: Sequence[str]) -> str:
    """The image runs it once, while the disk is empty; ``docker_process_sql`` is the image's own function."""
    names = " ".join(databases)
    return (
        f"for name in {names}; do\n"
        '  docker_process_sql <<< "CREATE DATABASE IF NOT EXISTS $name; '
        "GRANT ALL ON $name.* TO '$MYSQL_USER'@'%';\"\n"
        "done\n"
        f"if [ -e {_OWNERS_FOLDER}/{_STATEMENTS} ]; then docker_process_sql < {_OWNERS_FOLDER}/{_STATEMENTS}; fi\n"
    )
