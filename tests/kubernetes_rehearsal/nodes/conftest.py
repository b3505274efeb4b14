"""One cluster with real nodes for all tests of a module that need one, and none while other modules run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kubernetes_rehearsal import programs
from kubernetes_rehearsal.client import ApiClient
from kubernetes_rehearsal.interface import Identity
from kubernetes_rehearsal.nodes import machine
from kubernetes_rehearsal.nodes.node import NodeSettings, Taint
from kubernetes_rehearsal.nodes.node_clusters import NodeClusters
from kubernetes_rehearsal.nodes.sandbox import Sandbox

KEY = "000000000000/us-east-1/proof"
SYSTEM, OTHER, GPU = (f"ip-10-88-0-{number}.ec2.internal" for number in (11, 12, 13))
TOKEN = "administrator"


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    api: ApiClient
    sandbox: Sandbox
    clusters: NodeClusters

    def apply(self, collection: str, content: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        return self.api.request("POST", collection, content)


def authenticate(token: str) -> Identity | None:
    """The administrator of the tests."""
    return Identity("tests", ("system:masters",)) if token == TOKEN else None


@pytest.fixture(scope="session")
def node_programs() -> programs.NodePrograms:
    """The programs of a node; tests are skipped where they or the rights for them are missing."""
    lacks = [*machine.missing_parts(), *programs.missing_programs()]
    found = programs.node_programs()
    if lacks or not found:
        pytest.skip(f"real nodes need {', '.join(lacks)}")
    return found


@pytest.fixture(scope="module")
def start_clusters(node_programs: programs.NodePrograms) -> Iterator[Callable[..., NodeClusters]]:
    """Starts a set of clusters, and stops it in the end."""
    started: list[NodeClusters] = []

    def start(**parameters: Any) -> NodeClusters:
        clusters = NodeClusters(node_programs, "1.35.4", programs.images(), **parameters)
        clusters.start(authenticate)
        started.append(clusters)
        return clusters

    yield start
    for clusters in started:
        clusters.stop()


@pytest.fixture(scope="module")
def cluster(start_clusters: Callable[..., NodeClusters]) -> Cluster:
    """A cluster with a node of the system, one for anything, and one with GPUs."""
    clusters = start_clusters()
    access = clusters.create_cluster(KEY, "1.35")
    clusters.set_nodes(
        KEY,
        [
            NodeSettings(SYSTEM, {"mlplatform/purpose": "system"}, [Taint("CriticalAddonsOnly", "true", "NoSchedule")]),
            NodeSettings(OTHER, {"mlplatform/purpose": "general"}),
            NodeSettings(
                GPU,
                {"mlplatform/purpose": "inference"},
                [Taint("nvidia.com/gpu", "present", "NoSchedule")],
                cpus=8,
                memory_mib=32768,
                extended_resources={"nvidia.com/gpu": 1},
            ),
        ],
    )
    clusters.wait_for_nodes(KEY)
    return Cluster(ApiClient(access, TOKEN), clusters.sandbox(KEY), clusters)
