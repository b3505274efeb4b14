"""What the rehearsal needs of a Kubernetes API, whichever of the three stands behind it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class KubernetesError(Exception):
    """A Kubernetes API is unavailable or does not respond. The message is one line: place, value, fix."""


@dataclass(frozen=True)
class Identity:
    """Who a bearer token belongs to.

    :param username: as RBAC subjects name it.
    :param groups: as RBAC subjects name them; ``system:masters`` may do everything.
    """

    username: str
    groups: tuple[str, ...] = ()


Authenticate = Callable[[str], Identity | None]
"""Bearer token in, its owner out, or None if the API must answer 401."""

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ADMINISTRATOR = Identity("rehearsal", (MASTERS, AUTHENTICATED))


def with_administrator(authenticate: Authenticate, token: str) -> Authenticate:
    """``authenticate``, which also knows the one token that the rehearsal itself uses.

    Known users are in the group system:authenticated, as in a real API.
    """

    def identify(given: str) -> Identity | None:
        if secrets.compare_digest(given.encode(), token.encode()):
            return ADMINISTRATOR
        found = authenticate(given) if given else None
        return Identity(found.username, tuple(dict.fromkeys((*found.groups, AUTHENTICATED)))) if found else None

    return identify


@dataclass(frozen=True)
class ClusterAccess:
    """The connection details of a cluster, as in EKS.

    :param endpoint: ``https://127.0.0.1:<port>``.
    :param certificate_authority: PEM of the certificate that signed the endpoint's.
    """

    endpoint: str
    certificate_authority: str


class KubernetesApi(Protocol):
    """Kubernetes for any number of clusters, on loopback only."""

    @property
    def name(self) -> str:
        """A description with its origin, for the report."""

    def start(self, authenticate: Authenticate) -> None:
        """Prepare; clusters start when they are created.

        :param authenticate: called for every bearer token, from several threads concurrently.
        """

    def stop(self) -> None:
        """End every cluster, process and listener. Safe to call twice, and before ``start``."""

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Start a cluster and wait until it is ready.

        :param key: unique key of the cluster; any text.
        :param version: Kubernetes minor, such as ``1.35``.
        :raises KubernetesError: if the version is unavailable, or the cluster exists.
        """

    def delete_cluster(self, key: str) -> None:
        """Delete a cluster with its objects. A missing cluster is ignored."""

    def leftovers(self, key: str) -> list[str]:
        """Objects that a new cluster does not have, as ``Kind namespace/name``, sorted.

        Objects that controllers maintain (events, leases, endpoints, default service accounts) are ignored.
        """
