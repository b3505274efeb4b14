"""Which Kubernetes API stands behind the rehearsed clusters."""

import os
from collections.abc import Mapping
from pathlib import Path

from kubernetes_rehearsal import programs
from kubernetes_rehearsal.binaries import CACHE, find, version
from kubernetes_rehearsal.given_clusters import KUBECONFIG, SERVERS, GivenClusters
from kubernetes_rehearsal.interface import KubernetesApi, KubernetesError
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from kubernetes_rehearsal.nodes import machine
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.pod_aws import Aws
from kubernetes_rehearsal.standin import StandIn

NODES = "REHEARSAL_NODES"
"""``1``: real nodes are required. ``auto``: where this machine can run them. ``0``, the default: no real nodes."""
_CHOICES = ("", "0", "1", "auto")


def choose(
    environment: Mapping[str, str] | None = None, cache: Path = CACHE, *, aws: Aws | None = None
) -> KubernetesApi:
    """The best available API: the user's clusters, real nodes on request, a real kube-apiserver, or the stand-in.

    :param environment: Default: that of the process.
    :param cache: where ``make kube-apiserver`` builds.
    :param aws: what pods reach under the names of AWS services, where nodes are real.
    :raises KubernetesError: if something is given and is unusable. No other kind is tried then.
    """
    environment = os.environ if environment is None else environment
    if given := environment.get(KUBECONFIG):
        allowed = [server.strip() for server in environment.get(SERVERS, "").split(",") if server.strip()]
        return GivenClusters(Path(given), allowed)
    wanted = environment.get(NODES, "")
    if wanted not in _CHOICES:
        raise KubernetesError(f"{NODES}: must be 0, 1 or auto, got {wanted!r}")
    if wanted == "1" or (wanted == "auto" and not missing_for_nodes()):
        return _with_nodes(aws)
    if found := find(environment, cache):
        return KubeApiServer(found)
    return StandIn()


def _with_nodes(aws: Aws | None) -> NodeClusters:
    """:raises KubernetesError: with all that this machine lacks."""
    lacks = missing_for_nodes()
    found = programs.node_programs()
    if lacks or not found:
        raise KubernetesError(
            f"{NODES}: this machine cannot run nodes; it lacks {', '.join(lacks)}; `make programs` builds the programs"
        )
    return NodeClusters(found, version(found.binaries), programs.images(), aws)


def missing_for_nodes() -> list[str]:
    """What this machine lacks for real nodes, by name; empty where they can run."""
    return [*programs.missing_programs(), *machine.missing_parts()]
