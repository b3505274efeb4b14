"""The objects by which services of Kubeflow reach a database whose login is in Secrets Manager."""

from collections.abc import Mapping
from pathlib import Path

from constructs import Construct

from charts.kit.chart import ComponentChart
from charts.kit.objects import config_map
from charts.kit.stores import Database
from charts.kit.synced_secrets import synced_secret
from mlplatform_constructs import ConfigurationError

NAMESPACE = "kubeflow"
AUTHORITIES = "database-authorities"

_KEYS = ("username", "password")


class DatabaseAccess(ComponentChart):
    """The user of each service, synchronized from Secrets Manager, and the certificate authorities of the server.

    - ``databases``: the database of each service, as its chart takes it.

    :param host: of the server.
    :param names: name of the database by service.
    :param secret_arns: ARN of the secret with ``username`` and ``password``, by service.
    :param region: AWS Region of server and secrets.
    :param authorities: PEM bundle of the authorities of all Regions, each under a comment with the Region's name.
        None for a server in the mesh, which encrypts the connection.
    :param namespace: of the services. Default: Kubeflow's own.
    :raises ConfigurationError: for a Region without an authority in the bundle.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        host: str,
        names: Mapping[str, str],
        secret_arns: Mapping[str, str],
        region: str,
        authorities: Path | None,
        namespace: str = NAMESPACE,
    ) -> None:
        super().__init__(scope, id)
        secrets = {service: f"{service}-database" for service in names}
        self.databases: Mapping[str, Database] = {
            service: Database(
                host=host,
                name=name,
                secret=secrets[service],
                synced=True,
                authorities=AUTHORITIES if authorities else None,
            )
            for service, name in names.items()
        }
        if authorities:
            trusted = authorities_of(region, authorities)
            self.add(config_map(AUTHORITIES, namespace, {"authorities.pem": trusted}))
        self.add(
            *(
                synced_secret(secrets[service], namespace, region=region, keys_by_arn={arn: _KEYS})
                for service, arn in secret_arns.items()
            ),
        )


def authorities_of(region: str, bundle: Path) -> str:
    """The authorities of one Region in a PEM bundle.

    :raises ConfigurationError: for a Region without one.
    """
    found: dict[str, list[str]] = {}
    name = ""
    for line in bundle.read_text(encoding="ascii").splitlines():
        if line.startswith("# "):
            name = line.removeprefix("# ")
        elif line:
            found.setdefault(name, []).append(line)
    if region not in found:
        raise ConfigurationError(
            f"certificate authorities of the database: {bundle.name} has none for Region {region}; add that of AWS's "
            "bundle for the Region"
        )
    return "\n".join(found[region]) + "\n"
