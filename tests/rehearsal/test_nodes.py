"""When a rehearsal runs pods on real nodes."""

import os
import sys
from collections.abc import Sequence

import pytest

from config.loader import load_account
from config.schema import Account
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.choice import NODES
from kubernetes_rehearsal.nodes import machine
from rehearsal import nodes
from rehearsal.__main__ import main
from rehearsal.errors import RehearsalError
from rehearsal.nodes import choose_nodes

ACCOUNT = load_account("local")


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """A machine with everything but a program, which a build adds; the arguments of the builds."""
    builds: list[Sequence[str]] = []
    monkeypatch.setenv(NODES, "")
    monkeypatch.delenv("REHEARSAL_KUBECONFIG", raising=False)
    monkeypatch.setattr(machine, "missing_parts", lambda: [])
    monkeypatch.setattr(programs, "missing_programs", lambda: [] if builds else ["go/kubelet"])
    monkeypatch.setattr("rehearsal.nodes.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(nodes, "build_programs", builds.append)
    return builds


def other_minor() -> Account:
    clusters = {**ACCOUNT.clusters}
    clusters["training"] = clusters["training"].model_copy(update={"kubernetes": "1.34"})
    return ACCOUNT.model_copy(update={"clusters": clusters})


@pytest.mark.parametrize("wanted", ["auto", "1"])
def test_missing_programs_are_built_where_the_machine_can(wanted: nodes.Wanted, built: list[Sequence[str]]) -> None:
    choose_nodes(wanted, [ACCOUNT])
    assert built == [["go/kubelet", "--minutes", "15"]]
    assert os.environ[NODES] == wanted


def test_no_nodes_cost_no_build(built: list[Sequence[str]]) -> None:
    choose_nodes("0", [ACCOUNT])
    assert (built, os.environ[NODES]) == ([], "0")


@pytest.mark.parametrize("lacks", ["machine", "client"])
def test_a_machine_that_cannot_run_nodes_builds_nothing(
    lacks: str, built: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if lacks == "machine":
        monkeypatch.setattr(machine, "missing_parts", lambda: ["root on Linux"])
    else:
        monkeypatch.setattr("rehearsal.nodes.shutil.which", lambda name: None if name == "go" else name)
    choose_nodes("auto", [ACCOUNT])
    assert (built, os.environ[NODES]) == ([], "auto")  # the emulator takes the next kind, and reports what is missing
    with pytest.raises(RehearsalError, match="cannot run real nodes; it lacks go/kubelet"):
        choose_nodes("1", [ACCOUNT])


def test_clusters_of_another_minor_have_no_nodes_unless_they_are_required(
    built: list[Sequence[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    choose_nodes("auto", [other_minor()])
    assert (built, os.environ[NODES]) == ([], "0")
    assert "no real nodes: these run Kubernetes 1.35, and a cluster needs 1.34" in capsys.readouterr().out
    choose_nodes("1", [other_minor()])
    assert os.environ[NODES] == "1"


def test_clusters_of_the_user_need_no_programs(built: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHEARSAL_KUBECONFIG", "kind.yaml")
    choose_nodes("auto", [ACCOUNT])
    assert built == []


def test_required_nodes_that_cannot_run_end_the_rehearsal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "missing_parts", lambda: ["root on Linux"])
    monkeypatch.setattr(sys, "argv", ["rehearsal", "local", "--nodes", "1"])
    assert main() == 1
    assert (
        "rehearsal: this machine cannot run real nodes; it lacks go/kubelet, root on Linux" in capsys.readouterr().err
    )
