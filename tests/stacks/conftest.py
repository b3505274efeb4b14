"""The services of clusters, synthesized once for all tests."""

import pytest

from config.loader import load_account
from stacks.app import new_app
from stacks.stage import PlatformStage
from tests.cluster_services import CLOSED, OPEN, Services, stage_of


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> PlatformStage:
    """The production account as it is shipped."""
    app = new_app(outdir=str(tmp_path_factory.mktemp("prod") / "cdk.out"))
    app.node.set_context("aws:cdk:disable-asset-staging", True)
    return PlatformStage(app, "prod", settings=load_account("prod"))


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Services]:
    """Both clusters with default settings, in a network with a domain and a Lustre file system."""
    return stage_of(tmp_path_factory.mktemp("open"), OPEN)


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Services]:
    """A network without internet access; training with Karpenter, inference with kube2iam and without GPUs."""
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
