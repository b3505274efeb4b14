"""The services of clusters, synthesized once for all tests."""

import pytest

from tests.cluster_services import CLOSED, OPEN, Services, stage_of


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Services]:
    """Both clusters as they are shipped, in a network with names and a fast file system."""
    return stage_of(tmp_path_factory.mktemp("open"), OPEN)


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Services]:
    """A network without a way out; training with Karpenter, inference with kube2iam and without GPUs."""
    return stage_of(tmp_path_factory.mktemp("closed"), CLOSED)


@pytest.fixture(params=["training", "inference"])
def services(shipped: dict[str, Services], request: pytest.FixtureRequest) -> Services:
    return shipped[request.param]


@pytest.fixture
def training(shipped: dict[str, Services]) -> Services:
    return shipped["training"]


@pytest.fixture
def karpenter(closed: dict[str, Services]) -> Services:
    return closed["training"]
