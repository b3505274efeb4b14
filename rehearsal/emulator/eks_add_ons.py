"""EKS in the role of whoever installs add-ons."""

import base64
import contextlib
import secrets
from collections.abc import Iterator

from rehearsal.emulator.provisioner import client
from rehearsal.kubernetes import add_on_standins
from rehearsal.kubernetes.client import ApiClient
from rehearsal.kubernetes.interface import ClusterAccess

TOKEN = secrets.token_urlsafe(32)
"""Of the administrator as whom EKS works in clusters."""
used: set[str] = set()
"""Add-ons of which only definitions and names came, as lines of the report."""


def install(cluster: str, add_on: str) -> None:
    """Put what stands in for an add-on into its cluster."""
    if add_on_standins.has_stand_in(add_on):
        with _administrator(cluster) as api:
            add_on_standins.install(api, add_on)
        used.add(f"EKS add-on {add_on}")


def remove(cluster: str, add_on: str) -> None:
    """Take it out again."""
    if add_on_standins.has_stand_in(add_on):
        with _administrator(cluster) as api:
            add_on_standins.remove(api, add_on)


@contextlib.contextmanager
def _administrator(cluster: str) -> Iterator[ApiClient]:
    found = client("eks").describe_cluster(name=cluster)["cluster"]
    authority = base64.b64decode(found["certificateAuthority"]["data"]).decode()
    api = ApiClient(ClusterAccess(found["endpoint"], authority), TOKEN)
    try:
        yield api
    finally:
        api.close()
