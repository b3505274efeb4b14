"""Clusters with real nodes: pods are scheduled, run, connected, replaced and refused."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubernetes_rehearsal.nodes import cgroups, relays
from kubernetes_rehearsal.nodes.leftovers import remove_leftovers
from kubernetes_rehearsal.programs import NodePrograms
from kubernetes_rehearsal.proofs.admission import check_pod_security
from kubernetes_rehearsal.proofs.changes import check_drain, check_update
from kubernetes_rehearsal.proofs.reachability import Connection, check_connections
from kubernetes_rehearsal.proofs.workloads import check_workloads, pods_of

SYSTEM, OTHER, GPU = (f"ip-10-88-0-{number}.ec2.internal" for number in (11, 12, 13))
SHELL = "docker.io/library/busybox:1.36.1"
Object = dict[str, Any]


@pytest.fixture
def namespace(cluster: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{abs(hash(request.node.name)) % 10_000_000}"
    cluster.apply("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    cluster.api.request("DELETE", f"/api/v1/namespaces/{name}")


def _deployment(name: str, *, image: str = SHELL, command: list[str] | None = None, **parts: Any) -> Object:
    container = {"name": "main", "image": image, **parts.pop("container", {})}
    if command:
        container["command"] = command
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container], **parts.pop("pod", {})}
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **parts,
        },
    }


def _web(name: str, **parts: Any) -> Object:
    """A server that answers while it ends, as a rollout needs it."""
    container = {
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}},
    }
    serve = ["sh", "-c", "echo fine > /index.html; exec httpd -f -p 8080 -h /"]
    pod = {"terminationGracePeriodSeconds": 6}
    return _deployment(name, command=serve, container=container, pod={**pod, **parts.pop("pod", {})}, **parts)


def _create(cluster: Any, namespace: str, found: Object) -> Object:
    created: Object = cluster.apply(f"/apis/apps/v1/namespaces/{namespace}/deployments", found)
    return created


def _service(cluster: Any, namespace: str, name: str) -> str:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    found = cluster.apply(f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": name}, "spec": spec})
    address: str = found["spec"]["clusterIP"]
    return address


def _nodes_of(cluster: Any, found: Object) -> set[str]:
    pods = [pod for pod in pods_of(cluster.api, found) if "deletionTimestamp" not in pod["metadata"]]
    return {pod["spec"].get("nodeName", "") for pod in pods}


def test_a_node_bears_what_it_was_given(cluster: Any) -> None:
    node = cluster.api.get(f"/api/v1/nodes/{GPU}")
    assert node["metadata"]["labels"]["mlplatform/purpose"] == "inference"
    assert {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"} in node["spec"]["taints"]
    capacity = node["status"]["capacity"]
    assert (capacity["cpu"], capacity["memory"], capacity["nvidia.com/gpu"]) == ("8", "32Gi", "1")


def test_a_pod_lands_where_its_request_and_tolerations_allow(cluster: Any, namespace: str) -> None:
    gpus = {"limits": {"nvidia.com/gpu": "1"}}
    tolerations = {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}
    model = _create(
        cluster,
        namespace,
        _deployment("model", container={"resources": gpus}, pod=tolerations, command=["sleep", "9999"]),
    )
    plain = _create(cluster, namespace, _deployment("plain", command=["sleep", "9999"]))
    report = check_workloads(cluster.api, [namespace])
    assert report.findings == []
    assert _nodes_of(cluster, model) == {GPU}
    assert _nodes_of(cluster, plain) == {OTHER}


def test_a_pod_without_a_toleration_waits_and_says_why(cluster: Any, namespace: str) -> None:
    pod = {"nodeSelector": {"mlplatform/purpose": "inference"}}
    _create(cluster, namespace, _deployment("model", command=["sleep", "9999"], pod=pod))
    (finding,) = check_workloads(cluster.api, [namespace], bound_seconds=5).findings
    assert "untolerated taint" in str(finding)


def test_an_image_that_is_unavailable_is_stored_only(cluster: Any, namespace: str) -> None:
    image = "registry.example.org/nobody/has-this:1"
    _create(cluster, namespace, _deployment("absent", image=image))
    report = check_workloads(cluster.api, [namespace])
    assert report.stored_only == {f"Deployment {namespace}/absent": image}
    assert report.findings == []


def test_a_program_that_fails_is_found_with_its_reason(cluster: Any, namespace: str) -> None:
    _create(cluster, namespace, _deployment("broken", command=["sh", "-c", "echo no such argument; exit 3"]))
    findings = check_workloads(cluster.api, [namespace], bound_seconds=30).findings
    assert any("exit code 3" in str(finding) and "no such argument" in str(finding) for finding in findings), findings


def test_a_probe_of_the_wrong_port_is_found_with_its_reason(cluster: Any, namespace: str) -> None:
    container = {"readinessProbe": {"httpGet": {"path": "/", "port": 9}, "periodSeconds": 1}}
    _create(cluster, namespace, _deployment("web", command=["sleep", "9999"], container=container))
    (finding,) = check_workloads(cluster.api, [namespace], bound_seconds=10).findings
    assert "Readiness probe failed" in str(finding)


def test_a_right_that_is_missing_is_found_in_the_log(cluster: Any, namespace: str) -> None:
    ask = "echo 'E1130 secrets is forbidden: cannot list resource secrets'; sleep 9999"
    _create(cluster, namespace, _deployment("curious", command=["sh", "-c", ask]))
    check_workloads(cluster.api, [namespace])
    until = time.monotonic() + 10
    while not (findings := check_workloads(cluster.api, [namespace]).findings) and time.monotonic() < until:
        time.sleep(0.5)
    assert any("lacks a right" in str(finding) for finding in findings)


def test_a_name_of_the_cluster_resolves_in_a_pod_and_no_other_does(cluster: Any, namespace: str) -> None:
    look = "nslookup kubernetes.default.svc.cluster.local && ! nslookup example.org && echo resolved; sleep 9999"
    found = _create(cluster, namespace, _deployment("names", command=["sh", "-c", look]))
    assert check_workloads(cluster.api, [namespace]).findings == []
    (pod,) = pods_of(cluster.api, found)
    path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log"
    until = time.monotonic() + 20
    while "resolved" not in (log := cluster.api.text(path)) and time.monotonic() < until:
        time.sleep(0.3)
    assert "172.20.0.1" in log
    assert log.splitlines()[-1] == "resolved"


def test_a_network_policy_is_enforced(cluster: Any, namespace: str) -> None:
    for name in ("server", "friend", "stranger"):
        _create(cluster, namespace, _web(name))
    assert check_workloads(cluster.api, [namespace]).findings == []
    pods = {pod["metadata"]["labels"]["app"]: pod for pod in cluster.api.items(f"/api/v1/namespaces/{namespace}/pods")}
    names = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods.values()}
    address = pods["server"]["status"]["podIP"]

    def connect(namespace: str, pod: str, address: str, port: int) -> bool:
        network = cluster.sandbox.network_of(names[pod])
        try:
            made: bool = cluster.sandbox.connects(network, address, port, seconds=1)
            return made
        finally:
            os.close(network)

    def connections(stranger: bool) -> list[Connection]:
        return [
            Connection(namespace, pods["friend"]["metadata"]["name"], address, 8080, True),
            Connection(namespace, pods["stranger"]["metadata"]["name"], address, 8080, stranger),
        ]

    assert check_connections(connect, connections(stranger=True)) == []
    policy = {
        "metadata": {"name": "friends"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "server"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}],
        },
    }
    cluster.apply(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies", policy)
    assert check_connections(connect, connections(stranger=False)) == []


def test_an_update_in_place_loses_no_request(cluster: Any, namespace: str) -> None:
    _create(cluster, namespace, _web("web", replicas=2, strategy={"rollingUpdate": {"maxUnavailable": 0}}))
    address = _service(cluster, namespace, "web")
    assert check_workloads(cluster.api, [namespace]).findings == []
    network = cluster.sandbox.network_of(node=OTHER)

    def request() -> None:
        relays.in_network(network, lambda: urllib.request.urlopen(f"http://{address}/", timeout=2).read())

    try:
        _poll(request)
        assert check_update(cluster.api, "Deployment", namespace, "web", request) == []
    finally:
        os.close(network)


def _poll(action: Callable[[], object], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_a_drain_honours_a_disruption_budget(cluster: Any, namespace: str) -> None:
    anywhere = {"tolerations": [{"operator": "Exists", "key": "CriticalAddonsOnly"}]}
    found = _create(cluster, namespace, _web("steady", replicas=2, pod=anywhere))
    budget = {
        "metadata": {"name": "steady"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "steady"}}},
    }
    cluster.apply(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", budget)
    assert check_workloads(cluster.api, [namespace]).findings == []
    assert check_drain(cluster.api, OTHER) == []
    assert OTHER not in _nodes_of(cluster, found)


def test_a_pod_security_level_is_enforced(cluster: Any, namespace: str) -> None:
    (finding,) = check_pod_security(cluster.api, [namespace])
    assert "enforces no level" in str(finding)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    path = f"/api/v1/namespaces/{namespace}"
    cluster.api.request("PATCH", path, {"metadata": {"labels": labels}}, "application/merge-patch+json")
    assert check_pod_security(cluster.api, [namespace]) == []


def test_a_container_that_must_not_be_root_does_not_start_as_root(cluster: Any, namespace: str) -> None:
    container = {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}
    _create(cluster, namespace, _deployment("root", command=["sleep", "9999"], container=container))
    (finding,) = check_workloads(cluster.api, [namespace], bound_seconds=20).findings
    assert "CreateContainerConfigError" in str(finding)


def test_a_claim_is_bound_and_its_volume_written(cluster: Any, namespace: str) -> None:
    storage_class = {
        "metadata": {"name": namespace},
        "provisioner": "ebs.csi.aws.com",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    cluster.apply("/apis/storage.k8s.io/v1/storageclasses", storage_class)
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": namespace,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.apply(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim)
    pod = {
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        "securityContext": {"runAsUser": 1000, "fsGroup": 1000},
    }
    container = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    write = ["sh", "-c", "echo kept > /data/file && sleep 9999"]
    _create(cluster, namespace, _deployment("writer", command=write, pod=pod, container=container))
    assert check_workloads(cluster.api, [namespace]).findings == []


def test_nothing_in_a_sandbox_reaches_the_network_of_the_machine(cluster: Any) -> None:
    network = cluster.sandbox.network_of(node=OTHER)
    try:
        assert cluster.sandbox.connects(network, "10.88.0.1", 6443)
        assert not cluster.sandbox.connects(network, "192.0.2.1", 80, seconds=1)
    finally:
        os.close(network)
    routes = cluster.sandbox.run(["ip", "route"]).stdout
    assert "default" not in routes


def test_a_container_that_writes_to_its_node_changes_no_file_of_the_machine(cluster: Any, namespace: str) -> None:
    mark = f"written-by-{namespace}"
    pod = {"volumes": [{"name": "host", "hostPath": {"path": "/var/tmp"}}]}
    container = {"volumeMounts": [{"name": "host", "mountPath": "/host"}]}
    write = ["sh", "-c", f"echo here > /host/{mark} && echo done && sleep 9999"]
    _create(cluster, namespace, _deployment("writer", command=write, pod=pod, container=container))
    assert check_workloads(cluster.api, [namespace]).findings == []
    _poll_until(lambda: not cluster.sandbox.run(["ls", f"/var/tmp/{mark}"], node=OTHER).returncode)
    assert not Path("/var/tmp", mark).exists()


_START = """
import sys, time
from pathlib import Path
from kubernetes_rehearsal.nodes.node import NodeSettings
from kubernetes_rehearsal.nodes.sandbox import Sandbox
from kubernetes_rehearsal.kubeconfig import kubeconfig
from kubernetes_rehearsal.programs import NodePrograms
programs = NodePrograms(Path(sys.argv[1]), Path(sys.argv[2]))
review = kubeconfig("https://10.88.0.1:9443", "", {"token": "t"})
sandbox = Sandbox(programs, token_review=review, services={}, parent=Path(sys.argv[3]))
sandbox.add_node(NodeSettings("ip-10-88-0-11.ec2.internal"))
print(sandbox.folder, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("everything", [False, True], ids=["its owner", "its owner and its supervisor"])
def test_a_sandbox_leaves_nothing_when_all_around_it_is_killed(
    node_programs: NodePrograms, tmp_path: Path, everything: bool
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _START, str(node_programs.binaries), str(node_programs.debian), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert owner.stdout
    folder = Path(owner.stdout.readline().strip())
    assert folder.parent == tmp_path
    _poll_until(lambda: "containerd" in _processes(folder.name))
    supervisors = [
        int(child)
        for child in Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split()
        if b"supervisor.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert len(supervisors) == 1
    for victim in [owner.pid, *(supervisors if everything else [])]:
        os.kill(victim, signal.SIGKILL)
    owner.wait()
    _poll_until(lambda: not _processes(folder.name))
    if everything:
        assert remove_leftovers(tmp_path) == [folder.name]
    _poll_until(lambda: not folder.exists() and folder.name not in cgroups.existing())
    assert folder.name not in Path("/proc/self/mounts").read_text(encoding="utf-8")


def _processes(name: str) -> str:
    """Command lines of this machine's processes that name a sandbox."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if name in text:
            found.append(text)
    return "\n".join(found)


def _poll_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
