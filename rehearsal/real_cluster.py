"""One cluster with real nodes, without an AWS, for proofs of components and for measurements."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kubernetes_rehearsal.choice import NODES, choose
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import ADMINISTRATOR, ClusterAccess
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.sandbox import Sandbox

_CLUSTER, _VERSION = "components", "1.35"


@dataclass(frozen=True)
class RealCluster:
    """A running cluster.

    :param token: of an administrator.
    """

    api: ApiClient
    access: ClusterAccess
    token: str
    sandbox: Sandbox


@contextmanager
def real_cluster(*nodes: NodeSettings) -> Iterator[RealCluster]:
    """A new cluster, which ends with the block.

    :param nodes: Default: one.
    :raises KubernetesError: where this machine cannot run one, with what it lacks.
    """
    clusters = choose({NODES: "1"})
    assert isinstance(clusters, NodeClusters)
    token = secrets.token_urlsafe()
    clusters.start(lambda given: ADMINISTRATOR if secrets.compare_digest(given, token) else None)
    try:
        access = clusters.create_cluster(_CLUSTER, _VERSION)
        clusters.set_nodes(_CLUSTER, nodes or [NodeSettings("node-1")])
        clusters.wait_for_nodes(_CLUSTER)
        yield RealCluster(ApiClient(access, token), access, token, clusters.sandbox(_CLUSTER))
    finally:
        clusters.stop()
