"""A cluster that the user gives, behind the rehearsal's own tokens. The stand-in plays the given cluster."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubernetes_rehearsal import Identity, KubernetesError
from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.given_clusters import GivenClusters
from kubernetes_rehearsal.interface import ClusterAccess
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.standin import discovery
from tests.kubernetes_rehearsal.kubernetes_apis import IDENTITIES, MINOR, Programs, client, cluster


@pytest.fixture
def upstream() -> Iterator[ClusterAccess]:
    with cluster("stand-in") as access:
        yield access


@pytest.fixture
def given(upstream: ClusterAccess, tmp_path: Path) -> Iterator[GivenClusters]:
    made = GivenClusters(write_kubeconfig(upstream, tmp_path), [])
    made.start({"ml-reader": Identity("ada", ("readers",)), "ml-admin": Identity("eve", ("system:masters",))}.get)
    yield made
    made.stop()


def write_kubeconfig(access: ClusterAccess, folder: Path) -> Path:
    content = kubeconfig(access.endpoint, access.certificate_authority, {"token": "administrator"})
    (folder / "given").write_text(json.dumps(content), encoding="utf-8")
    return folder / "given"


def test_callers_are_known_by_the_rehearsals_tokens_and_act_with_their_own_groups(
    given: GivenClusters, tmp_path: Path
) -> None:
    access = given.create_cluster("training", MINOR)
    assert "Username ada" in Programs(access, tmp_path, token="ml-reader").kubectl("auth", "whoami").text
    with pytest.raises(ApiFailure, match='User "ada" cannot list resource "namespaces"'):
        client(access, "ml-reader").get("/api/v1/namespaces")
    assert client(access, "ml-admin").get("/api/v1/namespaces/default")["metadata"]["name"] == "default"


def test_neither_strangers_nor_the_clusters_own_tokens_pass(given: GivenClusters) -> None:
    access = given.create_cluster("training", MINOR)
    for token in ("forged", *IDENTITIES):
        with pytest.raises(ApiFailure, match="401"):
            client(access, token).get("/api/v1/namespaces")


def test_a_caller_cannot_impersonate(given: GivenClusters, tmp_path: Path) -> None:
    access = given.create_cluster("training", MINOR)
    said = Programs(access, tmp_path, token="ml-reader").kubectl(
        "auth", "whoami", "--as=eve", "--as-group=system:masters"
    )
    assert "Username ada" in said.text


def test_kubectl_applies_and_waits_through_the_proxy(given: GivenClusters, tmp_path: Path) -> None:
    programs = Programs(given.create_cluster("training", MINOR), tmp_path, token="ml-admin")
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "b"}}
    assert programs.kubectl("apply", given=[found]).status == 0
    assert programs.kubectl("wait", "--for=jsonpath={.data.a}=b", "configmap/new", "--timeout=10s").status == 0
    assert given.leftovers("training") == ["ConfigMap default/new"]


def test_a_deleted_cluster_is_not_changed_and_can_be_used_again_when_it_is_empty(
    given: GivenClusters, upstream: ClusterAccess
) -> None:
    given.create_cluster("training", MINOR)
    given.delete_cluster("training")
    given.delete_cluster("training")
    given.create_cluster("inference", MINOR)
    assert client(upstream).get("/api/v1/namespaces/default")["metadata"]["name"] == "default"


def test_fails_when_there_are_more_clusters_than_contexts(given: GivenClusters) -> None:
    given.create_cluster("training", MINOR)
    with pytest.raises(KubernetesError, match="cluster inference: .*: no context is left; give one for each cluster"):
        given.create_cluster("inference", MINOR)


def test_fails_when_the_cluster_is_in_use(given: GivenClusters, upstream: ClusterAccess) -> None:
    client(upstream).request("POST", "/api/v1/namespaces", {"metadata": {"name": "payments"}})
    with pytest.raises(KubernetesError, match="is in use, it has namespaces payments; give an empty cluster"):
        given.create_cluster("training", MINOR)


def test_fails_when_the_cluster_is_of_another_minor(given: GivenClusters) -> None:
    with pytest.raises(KubernetesError, match="runs v1.35.0-stand-in; give a cluster of Kubernetes 1.36"):
        given.create_cluster("training", "1.36")


def test_fails_when_the_cluster_is_of_eks(given: GivenClusters, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel makes a private cluster look like one on loopback."""
    monkeypatch.setattr(discovery, "version", lambda minor: {"gitVersion": f"v{minor}.2-eks-0123abc"})
    with pytest.raises(KubernetesError, match="is an EKS cluster .v1.35.2-eks-0123abc.; a rehearsal is for others"):
        given.create_cluster("training", MINOR)


def test_fails_when_the_credentials_are_not_an_administrators(upstream: ClusterAccess, tmp_path: Path) -> None:
    content = kubeconfig(upstream.endpoint, upstream.certificate_authority, {"token": "reader"})
    (tmp_path / "weak").write_text(json.dumps(content), encoding="utf-8")
    given = GivenClusters(tmp_path / "weak", [])
    given.start(IDENTITIES.get)
    with pytest.raises(KubernetesError, match="does not answer an administrator: 403 Forbidden"):
        given.create_cluster("training", MINOR)
    given.stop()


def test_fails_when_it_is_not_started(upstream: ClusterAccess, tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="cluster training: the Kubernetes API is not started"):
        GivenClusters(write_kubeconfig(upstream, tmp_path), []).create_cluster("training", MINOR)
