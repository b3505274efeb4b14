"""A machine that never joins its cluster does not end a rehearsal, and none is ready before its Services answer."""

from collections.abc import Callable
from typing import Any

import pytest

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import KubernetesError
from kubernetes_rehearsal.nodes import node_clusters
from kubernetes_rehearsal.nodes.node import Node, NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.sandbox import Sandbox
from tests.kubernetes_rehearsal.nodes.conftest import KEY, TOKEN

NODE = "ip-10-88-0-11.ec2.internal"


def test_a_node_that_does_not_join_is_replaced_once_and_then_explained(
    start_clusters: Callable[..., NodeClusters], monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = start_clusters()
    api = ApiClient(clusters.create_cluster(KEY, "1.35"), TOKEN)
    monkeypatch.setattr(node_clusters, "_JOIN_SECONDS", 1)
    started = []

    def broken(sandbox: Sandbox, node: NodeSettings) -> None:
        started.append(node.name)

    with monkeypatch.context() as patch:
        patch.setattr(Sandbox, "add_node", broken)
        patch.setattr(node_clusters, "_NODE_SECONDS", 3)
        clusters.set_nodes(KEY, [NodeSettings(NODE)])
        with pytest.raises(KubernetesError, match=rf"^node {NODE}: not ready in 3 s: it has not joined the cluster; "):
            clusters.wait_for_nodes(KEY)
    assert started == [NODE, NODE]

    clusters.wait_for_nodes(KEY)
    assert [node["metadata"]["name"] for node in api.items("/api/v1/nodes")] == [NODE]


def test_a_node_is_not_ready_before_kube_proxy_leads_pods_to_the_api(
    start_clusters: Callable[..., NodeClusters], monkeypatch: pytest.MonkeyPatch
) -> None:
    clusters = start_clusters()
    clusters.create_cluster(KEY, "1.35")
    plan = Node._plan

    def without_proxy(node: Node) -> dict[str, Any]:
        planned = plan(node)
        servers = [server for server in planned["servers"] if not server["command"][0].endswith("/kube-proxy")]
        assert len(servers) == len(planned["servers"]) - 1
        return {**planned, "servers": servers}

    monkeypatch.setattr(Node, "_plan", without_proxy)
    monkeypatch.setattr(node_clusters, "_NODE_SECONDS", 20)
    clusters.set_nodes(KEY, [NodeSettings(NODE)])
    with pytest.raises(KubernetesError, match="cni plugin not initialized"):
        clusters.wait_for_nodes(KEY)
