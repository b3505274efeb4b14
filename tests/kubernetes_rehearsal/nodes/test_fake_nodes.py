"""Nodes without a machine: ready for the API, filled by the real scheduler."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.scale import measure
from kubernetes_rehearsal import programs
from rehearsal.real_cluster import RealCluster, real_cluster


@pytest.fixture
def kwok(node_programs: programs.NodePrograms) -> Path:
    """The program, where it is built."""
    if not (node_programs.binaries / "kwok").exists():
        pytest.skip("nodes without a machine need go/kwok")
    return node_programs.binaries / "kwok"


@pytest.fixture
def cluster(kwok: Path) -> Iterator[RealCluster]:
    """A cluster of its own: its nodes would take the pods of other tests."""
    with real_cluster() as found:
        yield found


def test_nodes_without_a_machine_are_filled_by_the_scheduler_as_their_taints_allow(
    cluster: RealCluster, kwok: Path
) -> None:
    found = measure(cluster, kwok, nodes=10, pods=20)
    assert found.misplaced == 0
    assert found.objects > 10 + 20
    assert set(found.memory) == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
    assert all(size > 20 * 2**20 for size in found.memory.values())
    assert cluster.sandbox.resident() > sum(found.memory.values())
