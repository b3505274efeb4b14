"""Which Kubernetes API stands behind the rehearsed clusters."""

import os
from collections.abc import Mapping
from pathlib import Path

from rehearsal.kubernetes.binaries import CACHE, find
from rehearsal.kubernetes.given_clusters import KUBECONFIG, SERVERS, GivenClusters
from rehearsal.kubernetes.interface import KubernetesApi
from rehearsal.kubernetes.kube_apiserver import KubeApiServer
from rehearsal.kubernetes.standin import StandIn


def choose(environment: Mapping[str, str] | None = None, cache: Path = CACHE) -> KubernetesApi:
    """The best that is there: what the user gives, a real kube-apiserver, or the stand-in.

    :param environment: Default: that of the process.
    :param cache: where ``make kube-apiserver`` builds.
    :raises KubernetesError: where something is given and is no use; nothing else is tried then.
    """
    environment = os.environ if environment is None else environment
    if given := environment.get(KUBECONFIG):
        allowed = [server.strip() for server in environment.get(SERVERS, "").split(",") if server.strip()]
        return GivenClusters(Path(given), allowed)
    if found := find(environment, cache):
        return KubeApiServer(found)
    return StandIn()
