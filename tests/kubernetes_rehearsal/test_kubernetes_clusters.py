"""Clusters come, are apart from each other, and go: with the stand-in and with kube-apiserver alike."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext as does_not_raise
from pathlib import Path

import pytest

from kubernetes_rehearsal import KubernetesApi, KubernetesError
from kubernetes_rehearsal.binaries import find
from kubernetes_rehearsal.client import ApiFailure
from kubernetes_rehearsal.kube_apiserver import KubeApiServer
from tests.kubernetes_rehearsal.kubernetes_apis import (
    APIS,
    BUILT,
    IDENTITIES,
    MINOR,
    client,
    needs_kube_apiserver,
    new_api,
)

MAPS = "/api/v1/namespaces/default/configmaps"
# A process that has a cluster and says so, for as long as it lives.
OWNER = """
import sys, time
from tests.kubernetes_rehearsal.kubernetes_apis import IDENTITIES, MINOR, new_api
api = new_api("kube-apiserver")
api.start(IDENTITIES.get)
print(api.create_cluster("test", MINOR).endpoint, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[KubernetesApi]:
    made = new_api(request.param)
    made.start(IDENTITIES.get)
    yield made
    made.stop()


def test_a_cluster_starts_in_time(api: KubernetesApi) -> None:
    started = time.monotonic()
    access = api.create_cluster("training", MINOR)
    took = time.monotonic() - started
    assert access.endpoint.startswith("https://127.0.0.1:")
    assert client(access).get("/version")["gitVersion"].startswith(f"v{MINOR}.")
    assert took < (1 if "stand-in" in api.name else 10) * _load()


def _load() -> float:
    """A factor for time limits on a busy machine."""
    return max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def test_clusters_are_separate_and_a_recreated_one_is_empty(api: KubernetesApi) -> None:
    training, inference = (client(api.create_cluster(key, MINOR)) for key in ("training", "eu/inference"))
    training.request("POST", MAPS, {"metadata": {"name": "here"}})
    with pytest.raises(ApiFailure, match="404"):
        inference.get(f"{MAPS}/here")
    api.delete_cluster("training")
    with pytest.raises(OSError, match="GET"):
        training.get(f"{MAPS}/here")
    again = client(api.create_cluster("training", MINOR))
    with pytest.raises(ApiFailure, match="404"):
        again.get(f"{MAPS}/here")


def test_a_new_cluster_has_no_leftovers_and_what_comes_is_one_until_it_goes(api: KubernetesApi) -> None:
    access = api.create_cluster("training", MINOR)
    assert api.leftovers("training") == []
    mine = client(access)
    mine.request("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    mine.request("POST", "/api/v1/namespaces/team/secrets", {"metadata": {"name": "key"}})
    mine.request("POST", "/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": "gp3"}, "provisioner": "a.b"})
    assert api.leftovers("training") == ["Namespace team", "Secret team/key", "StorageClass gp3"]
    mine.request("DELETE", "/apis/storage.k8s.io/v1/storageclasses/gp3")
    mine.request("DELETE", "/api/v1/namespaces/team/secrets/key")
    assert api.leftovers("training") == ["Namespace team"]
    assert api.leftovers("unknown") == []


def test_deleting_a_missing_cluster_succeeds(api: KubernetesApi) -> None:
    with does_not_raise():
        api.delete_cluster("never")


def test_an_api_stops_twice_and_before_it_starts() -> None:
    made = new_api("stand-in")
    with does_not_raise():
        made.stop()
        made.start(IDENTITIES.get)
        made.stop()
        made.stop()


def test_fails_when_a_cluster_exists(api: KubernetesApi) -> None:
    api.create_cluster("training", MINOR)
    with pytest.raises(KubernetesError, match="cluster training: exists; delete it first"):
        api.create_cluster("training", MINOR)


@pytest.mark.parametrize("name", APIS)
def test_fails_when_it_is_not_started(name: str) -> None:
    with pytest.raises(KubernetesError, match="cluster training: the Kubernetes API is not started"):
        new_api(name).create_cluster("training", MINOR)


def test_fails_when_the_stand_in_has_no_schemas_of_a_minor() -> None:
    made = new_api("stand-in")
    made.start(IDENTITIES.get)
    with pytest.raises(KubernetesError, match="Kubernetes 1.20: no schemas for the stand-in; there are 1.25"):
        made.create_cluster("training", "1.20")
    made.stop()


@pytest.mark.parametrize("minor", ["1.34", "1.36"])
def test_the_stand_in_serves_the_neighbouring_minors(minor: str) -> None:
    made = new_api("stand-in")
    made.start(IDENTITIES.get)
    assert client(made.create_cluster("training", minor)).get("/version")["minor"] == minor.partition(".")[2]
    made.stop()


@needs_kube_apiserver
def test_namespaces_work_with_test_assets_that_have_no_controllers(tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).symlink_to(BUILT[0].folder / name)
    made = KubeApiServer(find({"KUBEBUILDER_ASSETS": str(tmp_path)}))
    made.start(IDENTITIES.get)
    try:
        asked = client(made.create_cluster("training", MINOR))
        asked.request("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
        asked.request("POST", "/api/v1/namespaces/team/configmaps", {"metadata": {"name": "inside"}})
        asked.request("DELETE", "/api/v1/namespaces/team")
        for _ in range(100):
            if not made.leftovers("training"):
                return
            time.sleep(0.1)
        pytest.fail("the namespace stays")
    finally:
        made.stop()


@needs_kube_apiserver
def test_fails_when_a_minor_is_not_built() -> None:
    made = new_api("kube-apiserver")
    made.start(IDENTITIES.get)
    with pytest.raises(KubernetesError, match="Kubernetes 1.20 is not here, only .*; run make kube-apiserver"):
        made.create_cluster("training", "1.20")
    made.stop()


@needs_kube_apiserver
def test_servers_end_with_the_process_that_started_them_even_when_it_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    assert owner.stdout.readline().startswith("https://127.0.0.1:")
    started = _servers_of(owner.pid)
    assert len(started) == 3  # etcd, kube-apiserver, kube-controller-manager
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    for _ in range(150):
        if not [pid for pid in started if _runs(pid)]:
            return
        time.sleep(0.1)
    pytest.fail("servers outlive their owner")


def _servers_of(pid: int) -> list[int]:
    """Processes of the built servers among the descendants of a process."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = status.read_text().rpartition(")")[2].split()
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, seen = [], [pid]
    while seen:
        below = children.get(seen.pop(), [])
        seen += below
        found += [one for one in below if Path(f"/proc/{one}/exe").resolve().parent == BUILT[0].folder.resolve()]
    return found


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()
