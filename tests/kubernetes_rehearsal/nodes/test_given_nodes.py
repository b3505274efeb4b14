"""A cluster with nodes that a user gives: a real one, reached by its kubeconfig alone, has the same proofs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.given_clusters import GivenClusters
from kubernetes_rehearsal.interface import Identity
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.proofs.admission import check_pod_security
from kubernetes_rehearsal.proofs.changes import check_drain
from kubernetes_rehearsal.proofs.workloads import check_workloads

NODE = "ip-10-88-0-11.ec2.internal"
SHELL = "docker.io/library/busybox:1.36.1"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def given(
    start_clusters: Callable[..., NodeClusters], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GivenClusters, ApiClient]]:
    """The cluster as the rehearsal takes it, and its API for the rehearsal's administrator."""
    clusters = start_clusters()
    access = clusters.create_cluster("given", "1.35")
    clusters.set_nodes("given", [NodeSettings(NODE)])
    clusters.wait_for_nodes("given")
    file = Path(tmp_path_factory.mktemp("given"), "kubeconfig")
    content = kubeconfig(access.endpoint, access.certificate_authority, {"token": "administrator"})
    file.write_text(json.dumps(content), encoding="utf-8")
    made = GivenClusters(file, [])
    made.start({"ml-admin": Identity("eve", ("system:masters",))}.get)
    yield made, ApiClient(made.create_cluster("training", "1.35"), "ml-admin")
    made.stop()


def _create(api: ApiClient, name: str, command: str) -> None:
    labels = {"app": name}
    container = {"name": "main", "image": SHELL, "command": ["sh", "-c", command]}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    path = "/apis/apps/v1/namespaces/work/deployments"
    api.request("POST", path, {"metadata": {"name": name}, "spec": spec})


def test_a_given_cluster_with_nodes_has_the_same_proofs(given: tuple[GivenClusters, ApiClient]) -> None:
    clusters, api = given
    api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "work"}})
    _create(api, "quiet", "sleep 9999")
    _create(api, "broken", "echo no such argument; exit 3")
    deployed = set(clusters.leftovers("training"))
    assert {"Deployment work/quiet", "Deployment work/broken", "Namespace work"} <= deployed
    report = check_workloads(api, ["work"], bound_seconds=30, only=deployed)
    assert set(report.running) == {"Deployment work/quiet"}
    assert any("exit code 3" in str(found) and "no such argument" in str(found) for found in report.findings)
    assert "enforces no level" in str(check_pod_security(api, ["work"])[0])


def test_a_given_cluster_enforces_levels_and_budgets_of_its_own(given: tuple[GivenClusters, ApiClient]) -> None:
    _, api = given
    labelled: dict[str, Any] = {"metadata": {"name": "strict", "labels": RESTRICTED}}
    api.request("POST", "/api/v1/namespaces", labelled)
    assert check_pod_security(api, ["strict"]) == []
    budget = {"metadata": {"name": "quiet"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "quiet"}}}}
    api.request("POST", "/apis/policy/v1/namespaces/work/poddisruptionbudgets", budget)
    (finding,) = check_drain(api, NODE, bound_seconds=3)
    assert str(finding).startswith(f"Node {NODE}: is not empty 3 s after a drain began: ")
    assert "work/quiet-" in str(finding)
