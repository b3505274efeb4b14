"""What the rehearsal needs of a Kubernetes API, whichever of the three stands behind it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class KubernetesError(Exception):
    """A Kubernetes API cannot be had or does not answer. The text is one line: place, value, fix."""


@dataclass(frozen=True)
class Identity:
    """Who a bearer token belongs to.

    :param username: as RBAC subjects name it.
    :param groups: as RBAC subjects name them; ``system:masters`` may do everything.
    """

    username: str
    groups: tuple[str, ...] = ()


Authenticate = Callable[[str], Identity | None]
"""Bearer token in, its owner out, or None where the API must answer 401."""

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ADMINISTRATOR = Identity("rehearsal", (MASTERS, AUTHENTICATED))


def with_administrator(authenticate: Authenticate, token: str) -> Authenticate:
    """``authenticate``, which also knows the one token that the rehearsal itself uses.

    Whoever it knows is in the group of the authenticated, as at a real API.
    """

    def identify(given: str) -> Identity | None:
        if secrets.compare_digest(given.encode(), token.encode()):
            return ADMINISTRATOR
        found = authenticate(given) if given else None
        return Identity(found.username, tuple(dict.fromkeys((*found.groups, AUTHENTICATED)))) if found else None

    return identify


@dataclass(frozen=True)
class ClusterAccess:
    """What EKS tells about a cluster.

    :param endpoint: ``https://127.0.0.1:<port>``.
    :param certificate_authority: PEM of the certificate that signed the endpoint's.
    """

    endpoint: str
    certificate_authority: str


class KubernetesApi(Protocol):
    """Kubernetes for any number of clusters, on loopback only."""

    @property
    def name(self) -> str:
        """What it is and where it comes from, for the report."""

    def start(self, authenticate: Authenticate) -> None:
        """Make ready; clusters start when they are created.

        :param authenticate: asked for every bearer token, from several threads at once.
        """

    def stop(self) -> None:
        """End every cluster, process and listener. Safe to call twice, and before ``start``."""

    def create_cluster(self, key: str, version: str) -> ClusterAccess:
        """Start a cluster and wait until it answers.

        :param key: names the cluster among those of this object; any text.
        :param version: Kubernetes minor, such as ``1.35``.
        :raises KubernetesError: where the version cannot be had, or the cluster is there already.
        """

    def delete_cluster(self, key: str) -> None:
        """End a cluster and forget its objects. A cluster that is not there is no error."""

    def leftovers(self, key: str) -> list[str]:
        """Objects that the cluster did not have when it was new, as ``Kind namespace/name``, sorted.

        What controllers keep by themselves (events, leases, endpoints, default service accounts) does not count.
        """
