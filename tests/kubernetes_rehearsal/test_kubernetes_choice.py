"""Which Kubernetes API is chosen, and what is refused before anything starts."""

import json
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal import KubernetesError, choose, programs
from kubernetes_rehearsal.binaries import Binaries, find, locked_release, minors
from kubernetes_rehearsal.build import build
from kubernetes_rehearsal.given_clusters import GivenClusters
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from kubernetes_rehearsal.nodes import machine
from kubernetes_rehearsal.standin import StandIn

LOOPBACK = "https://127.0.0.1:6443"


def kubeconfig(folder: Path, server: str = LOOPBACK, **user: Any) -> str:
    """Path of a kubeconfig with one context."""
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
        "contexts": [{"name": "mine", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def servers(folder: Path, *names: str, version: str = "v1.35.2") -> Path:
    """A folder with programs that print a version."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho Kubernetes {version}\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_stand_in_is_the_fallback(tmp_path: Path) -> None:
    chosen = choose({}, tmp_path)
    assert isinstance(chosen, StandIn)
    assert chosen.name == "embedded stand-in; make kube-apiserver builds a real one where Go is"


def test_a_built_kube_apiserver_comes_before_the_stand_in(tmp_path: Path) -> None:
    servers(tmp_path / "1.35.4", "etcd", "kube-apiserver", "kube-controller-manager")
    chosen = choose({}, tmp_path)
    assert isinstance(chosen, KubeApiServer)
    assert chosen.name == f"kube-apiserver 1.35.4 with etcd in {tmp_path / '1.35.4'}"


def test_an_unfinished_build_does_not_count(tmp_path: Path) -> None:
    servers(tmp_path / "1.35.4", "etcd")
    assert isinstance(choose({}, tmp_path), StandIn)


def test_servers_among_the_built_programs_count_unless_their_version_is_built_alone(tmp_path: Path) -> None:
    whole = ("etcd", "kube-apiserver", "kube-controller-manager")
    programs_folder = servers(tmp_path / "programs" / "bin", *whole, version="v1.35.4")
    assert find({}, tmp_path / "kubernetes") == [Binaries(programs_folder, "1.35.4")]
    alone = servers(tmp_path / "kubernetes" / "1.35.4", *whole)
    assert find({}, tmp_path / "kubernetes") == [Binaries(alone, "1.35.4")]


def test_named_servers_come_before_built_ones(tmp_path: Path) -> None:
    servers(tmp_path / "1.35.4", "etcd", "kube-apiserver", "kube-controller-manager")
    assets = servers(tmp_path / "assets", "etcd", "kube-apiserver", version="v1.36.1")
    assert find({"KUBEBUILDER_ASSETS": str(assets)}, tmp_path) == [Binaries(assets, "1.36.1")]
    assert choose({"KUBEBUILDER_ASSETS": str(assets)}, tmp_path).name.endswith(", without kube-controller-manager")


def test_a_given_kubeconfig_comes_first(tmp_path: Path) -> None:
    environment = {"REHEARSAL_KUBECONFIG": kubeconfig(tmp_path), "KUBEBUILDER_ASSETS": "/nonexistent"}
    chosen = choose(environment, tmp_path)
    assert isinstance(chosen, GivenClusters)
    assert chosen.name == f"kubeconfig {tmp_path / 'kubeconfig'}: mine (https://127.0.0.1:6443)"


def test_fails_when_the_named_servers_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="KUBEBUILDER_ASSETS: .* has no etcd and no kube-apiserver"):
        choose({"KUBEBUILDER_ASSETS": str(tmp_path)}, tmp_path)


def test_fails_when_the_named_server_does_not_run(tmp_path: Path) -> None:
    assets = servers(tmp_path, "etcd", "kube-apiserver", version="of another kind")
    with pytest.raises(KubernetesError, match="it does not run here"):
        choose({"KUBEBUILDER_ASSETS": str(assets)}, tmp_path)


def test_fails_when_the_kubeconfig_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="nowhere: no such kubeconfig"):
        choose({"REHEARSAL_KUBECONFIG": "nowhere"}, tmp_path)


@pytest.mark.parametrize("content", ["clusters: [", "[]", "{clusters: [], users: []}"])
def test_fails_when_the_file_is_no_kubeconfig(tmp_path: Path, content: str) -> None:
    (tmp_path / "kubeconfig").write_text(content)
    with pytest.raises(KubernetesError, match="not a kubeconfig"):
        choose({"REHEARSAL_KUBECONFIG": str(tmp_path / "kubeconfig")}, tmp_path)


@pytest.mark.parametrize("server", ["https://10.0.0.1:6443", "https://ABC.gr7.eu-west-1.eks.amazonaws.com"])
def test_fails_when_a_given_server_is_not_on_loopback(tmp_path: Path, server: str) -> None:
    environment = {"REHEARSAL_KUBECONFIG": kubeconfig(tmp_path, server)}
    with pytest.raises(KubernetesError, match=f"{server} is not on loopback.*list it in REHEARSAL_KUBECONFIG_SERVERS"):
        choose(environment, tmp_path)
    with pytest.raises(KubernetesError, match="is not on loopback"):
        choose(environment | {"REHEARSAL_KUBECONFIG_SERVERS": "yes"}, tmp_path)


def test_a_server_elsewhere_is_taken_when_its_address_is_named_as_well(tmp_path: Path) -> None:
    server = "https://10.0.0.1:6443"
    environment = {"REHEARSAL_KUBECONFIG": kubeconfig(tmp_path, server), "REHEARSAL_KUBECONFIG_SERVERS": server}
    assert isinstance(choose(environment, tmp_path), GivenClusters)


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"exec": {"command": "aws"}}, "exec is not accepted; give a client certificate or a token"),
        ({"username": "admin", "password": "x"}, "username is not accepted"),
        ({"as": "nobody"}, "no credentials"),
    ],
)
def test_fails_when_credentials_run_a_program_or_are_none(tmp_path: Path, user: dict[str, Any], why: str) -> None:
    with pytest.raises(KubernetesError, match=why):
        choose({"REHEARSAL_KUBECONFIG": kubeconfig(tmp_path, **user)}, tmp_path)


def test_fails_when_a_minor_has_no_locked_build(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match=r"Kubernetes 1.20: no locked build; there are 1.34, 1.35, 1.36"):
        build("1.20", tmp_path)


@pytest.mark.parametrize("minor", minors())
def test_a_lock_holds_every_part_at_the_version_of_its_release(minor: str) -> None:
    release = locked_release(minor)
    module = (release.lock / "go.mod").read_text(encoding="utf-8")
    parts = [line.split() for line in module.splitlines() if " => " in line]
    assert release.version.startswith(f"{minor}.")
    assert len(parts) >= 30
    assert {part[3] for part in parts} == {f"v0.{release.version.removeprefix('1.')}"}
    assert all(part[0] == part[2] for part in parts)
    for package in ("kube-apiserver", "kube-controller-manager"):
        assert f"k8s.io/kubernetes/cmd/{package}" in module
    assert "go.etcd.io/etcd/server/v3" in module
    assert (release.lock / "go.sum").read_text(encoding="utf-8").count(" h1:") > 300


def test_real_nodes_are_refused_with_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "node_programs", lambda: None)
    monkeypatch.setattr(programs, "missing_programs", lambda: ["go/kubelet"])
    monkeypatch.setattr(machine, "missing_parts", lambda: ["root on Linux"])
    with pytest.raises(
        KubernetesError, match="REHEARSAL_NODES: this machine cannot run nodes; it lacks go/kubelet, root"
    ):
        choose({"REHEARSAL_NODES": "1"}, tmp_path)


def test_fails_when_real_nodes_are_asked_for_in_another_word(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="REHEARSAL_NODES: must be 0, 1 or auto, got 'yes'"):
        choose({"REHEARSAL_NODES": "yes"}, tmp_path)


@pytest.mark.parametrize("refused", ["", "0"])
def test_nodes_are_not_real_unless_they_are_asked_for(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "missing_programs", lambda: [])
    monkeypatch.setattr(machine, "missing_parts", lambda: [])
    assert isinstance(choose({"REHEARSAL_NODES": refused}, tmp_path), StandIn)


def test_a_machine_that_cannot_run_nodes_has_the_next_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "missing_programs", lambda: ["go/kubelet"])
    assert isinstance(choose({"REHEARSAL_NODES": "auto"}, tmp_path), StandIn)


@pytest.mark.parametrize("wanted", ["1", "auto"])
def test_real_nodes_are_chosen_where_everything_is_there(
    wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = servers(tmp_path / "bin", "kube-apiserver", version="v1.35.4")
    monkeypatch.setattr(programs, "node_programs", lambda: programs.NodePrograms(binaries, tmp_path))
    monkeypatch.setattr(programs, "missing_programs", lambda: [])
    monkeypatch.setattr(machine, "missing_parts", lambda: [])
    chosen = choose({"REHEARSAL_NODES": wanted}, tmp_path)
    assert chosen.name == f"Kubernetes 1.35.4 with real nodes, programs of {binaries}"
