"""What components keep their data in: a MySQL database, and a bucket for artifacts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from charts.kit.objects import Manifest
from charts.kit.synced_secrets import secret_volume
from charts.kit.workloads import from_secret

_AUTHORITIES, _CREDENTIALS = "database-authorities", "database-credentials"
_AUTHORITIES_FOLDER, _CREDENTIALS_FOLDER = "/etc/database-authorities", "/etc/database-credentials"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A MySQL database of one service.

    :param host: of the server.
    :param name: of the database.
    :param secret: the Secret with ``username`` and ``password``.
    :param synced: whether the Secret comes from a SecretProviderClass of its name, which the pods have to mount.
        Default: the Secret exists by itself.
    :param authorities: ConfigMap with the certificate authorities of the server under ``authorities.pem``. Default:
        none; the client does not encrypt the connection, the mesh does.
    """

    host: str
    name: str
    secret: str
    port: int = 3306
    synced: bool = False
    authorities: str | None = None

    @property
    def username(self) -> Manifest:
        """The variable that holds the user's name."""
        return from_secret(self.secret, "username")

    @property
    def password(self) -> Manifest:
        """The variable that holds the password."""
        return from_secret(self.secret, "password")

    @property
    def authorities_file(self) -> str:
        """Path of the certificate authorities in containers that have :attr:`mounts`."""
        return f"{_AUTHORITIES_FOLDER}/authorities.pem"

    @property
    def go_authorities(self) -> Mapping[str, str]:
        """Variables by which programs in Go trust the authorities besides the system's own."""
        return {"SSL_CERT_DIR": _AUTHORITIES_FOLDER} if self.authorities else {}

    @property
    def mounts(self) -> dict[str, str]:
        """Mounts of every container that connects, as :func:`charts.kit.workloads.container` takes them."""
        return {path: name for name, (path, _) in self._volumes().items()}

    @property
    def volumes(self) -> dict[str, Manifest]:
        """Volumes of every pod that connects."""
        return {name: source for name, (_, source) in self._volumes().items()}

    def _volumes(self) -> dict[str, tuple[str, Manifest]]:
        found: dict[str, tuple[str, Manifest]] = {}
        if self.synced:
            found[_CREDENTIALS] = (_CREDENTIALS_FOLDER, secret_volume(self.secret))
        if self.authorities:
            found[_AUTHORITIES] = (_AUTHORITIES_FOLDER, {"configMap": {"name": self.authorities}})
        return found


@dataclass(frozen=True, kw_only=True)
class ArtifactStore:
    """A bucket behind the S3 API.

    :param bucket: name of the bucket.
    :param region: AWS region, or what the server calls its own.
    :param host: of the S3 API. Default: that of AWS in the region.
    :param port: Default: the one of HTTPS.
    :param secure: whether the API is reached by TLS. Default: it is.
    :param keys: the Secret with ``accessKey`` and ``secretKey``. Default: none; pods call with the AWS role of their
        service account.

    The key of an object starts with the namespace that it belongs to, so that a role can be limited to it.
    """

    LOG_KEYS: ClassVar[str] = "{{workflow.namespace}}/logs/{{workflow.name}}/{{pod.name}}"
    """Where the logs of a step are archived, in the words of Argo."""

    bucket: str
    region: str
    host: str = ""
    port: int | None = None
    secure: bool = True
    keys: str | None = None

    @property
    def address(self) -> str:
        """Host of the S3 API."""
        return self.host or f"s3.{self.region}.amazonaws.com"

    @property
    def endpoint(self) -> str:
        """Host, and port where one is set."""
        return f"{self.address}:{self.port}" if self.port else self.address

    @staticmethod
    def prefix(namespace: str) -> str:
        """Prefix of everything that the runs of one namespace store."""
        return f"{namespace}/"

    def root(self, namespace: str) -> str:
        """Address below which the runs of one namespace store their artifacts."""
        return f"s3://{self.bucket}/{namespace}/pipelines"

    @property
    def access_key(self) -> str | Manifest:
        """The variable with the access key; an empty text makes programs use the role of the pod."""
        return from_secret(self.keys, "accessKey") if self.keys else ""

    @property
    def secret_key(self) -> str | Manifest:
        """The variable with the secret key; empty as :attr:`access_key`."""
        return from_secret(self.keys, "secretKey") if self.keys else ""
