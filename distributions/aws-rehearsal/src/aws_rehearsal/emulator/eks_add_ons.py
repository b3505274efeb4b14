"""Installs EKS add-ons: their programs in clusters with real nodes, if they are built, and stand-ins otherwise."""

import base64
import contextlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from aws_rehearsal import add_ons
from aws_rehearsal.emulator.provisioner import client
from aws_rehearsal.emulator.settings import stand_ins_file
from aws_rehearsal.stand_ins import StandIns
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ClusterAccess, KubernetesError
from kubernetes_rehearsal.programs.charts import BuiltChart, built_chart

TOKEN = secrets.token_urlsafe(32)
"""Of the administrator as whom EKS works in clusters."""
_REQUEST_SECONDS = 300
used: set[str] = set()
"""Add-ons whose programs do not run, as lines of the report."""
ran: set[str] = set()
"""Add-ons whose programs run, as lines of the report."""
programs_run = False
"""Whether clusters have real nodes, which run the programs that are built."""
_installed: dict[tuple[str, str], list[dict[str, Any]]] = {}


def install(cluster: str, add_on: str, *, configuration: str = "", role: str = "") -> None:
    """Create the objects of an add-on in its cluster: those of its chart if its programs run, or its stand-in.

    :param configuration: of the add-on, as JSON. Default: none.
    :param role: ARN of the role of its service account. Default: none, as with Pod Identity.
    :raises KubernetesError: if the chart of the add-on refuses the configuration.
    """
    objects = StandIns.load(stand_ins_file()).add_ons.get(add_on, [])
    built, reason = _built(add_on) if programs_run else (None, "")
    if built:
        namespaces = [found for found in objects if found["kind"] == "Namespace"]
        objects = [*namespaces, *add_ons.rendered(built, add_on, configuration=configuration, role=role)]
        ran.add(f"EKS add-on {add_on}: {built.source}")
    elif objects or reason:
        used.add(f"EKS add-on {add_on}{reason}")
    if objects:
        with _administrator(cluster) as api:
            add_ons.install(api, objects)
        _installed[cluster, add_on] = objects


def remove(cluster: str, add_on: str) -> None:
    """Delete the objects that :func:`install` created."""
    if objects := _installed.pop((cluster, add_on), None):
        with _administrator(cluster) as api:
            add_ons.remove(api, objects)


def _built(add_on: str) -> tuple[BuiltChart | None, str]:
    """The chart of an add-on with its programs, or why there is none."""
    try:
        return built_chart(add_on), ""
    except KubernetesError as error:
        return None, f": {programs.table().unavailable_add_ons.get(add_on, error)}"


@contextlib.contextmanager
def _administrator(cluster: str) -> Iterator[ApiClient]:
    with administrator_of(client("eks").describe_cluster(name=cluster)["cluster"]) as api:
        yield api


@contextlib.contextmanager
def administrator_of(cluster: Mapping[str, Any]) -> Iterator[ApiClient]:
    """A client of a cluster, as EKS describes it, that may do everything."""
    authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
    api = ApiClient(ClusterAccess(cluster["endpoint"], authority), TOKEN, timeout_seconds=_REQUEST_SECONDS)
    try:
        yield api
    finally:
        api.close()
