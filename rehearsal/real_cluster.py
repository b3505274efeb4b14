"""Clusters with real nodes, without an AWS, for proofs of components and for measurements."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    with real_clusters(1, *nodes) as (cluster,):
        yield cluster


@contextmanager
def real_clusters(count: int, *nodes: NodeSettings) -> Iterator[list[RealCluster]]:
    """New clusters, which end with the block.

    :param nodes: of each. Default: one.
    :raises KubernetesError: where this machine cannot run one, with what it lacks.
    """
    clusters = choose({NODES: "1"})
    assert isinstance(clusters, NodeClusters)
    token = secrets.token_urlsafe()
    clusters.start(lambda given: ADMINISTRATOR if secrets.compare_digest(given, token) else None)

    def create(number: int) -> RealCluster:
        key = f"{_CLUSTER}-{number}"
        access = clusters.create_cluster(key, _VERSION)
        clusters.set_nodes(key, nodes or [NodeSettings("node-1")])
        clusters.wait_for_nodes(key)
        return RealCluster(ApiClient(access, token), access, token, clusters.sandbox(key))

    try:
        with ThreadPoolExecutor(count) as workers:
            made = list(workers.map(create, range(1, count + 1)))
        yield made
    finally:
        clusters.stop()
