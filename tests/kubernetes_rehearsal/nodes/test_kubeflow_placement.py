"""Where the real scheduler puts the pods of Kubeflow and of jobs, on nodes with the platform's labels and taints."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from charts.kit.chart import pod_specs
from kubernetes_rehearsal import programs
from kubernetes_rehearsal.client import MERGE_PATCH, ApiClient
from kubernetes_rehearsal.nodes.fake_nodes import FakeNodes, add_fake_node
from kubernetes_rehearsal.nodes.node import PAUSE_IMAGE, Taint
from mlplatform_constructs import NodeGroupSpec
from mlplatform_constructs.kubeflow import (
    MPIJob,
    PyTorchJob,
    Resources,
    SparkApplication,
    SparkPods,
    TFJob,
    TrainingPods,
    TrainJob,
    XGBoostJob,
)
from rehearsal.real_cluster import real_cluster
from tests.kubeflow_options import STACKS, TEAMS, Platform
from tests.placement import groups_that_take

HOME = "placement"
PATIENCE_SECONDS = 240
PLACING = ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints")
"""Fields of a pod that the scheduler reads, besides the requests of its containers."""
LACKING = "gpu-without-toleration"

CPUS = TrainingPods(image="r.io/train:1.0", resources=Resources(cpu="1", memory="2Gi"))
GPUS = TrainingPods(image="r.io/train:1.0", resources=Resources(cpu="2", memory="8Gi", gpus=1), purpose="gpu")
NAMES: Mapping[str, Any] = {"name": "one", "namespace": "churn"}
JOBS: Mapping[str, Any] = {
    "tfjob": TFJob(**NAMES, worker=GPUS, chief=CPUS, parameter_servers=CPUS).to_json(),
    "pytorchjob": PyTorchJob(**NAMES, master=GPUS, worker=GPUS).to_json(),
    "xgboostjob": XGBoostJob(**NAMES, master=CPUS, worker=CPUS).to_json(),
    "mpijob": MPIJob(**NAMES, launcher=CPUS, worker=GPUS).to_json(),
    "trainjob": TrainJob(**NAMES, runtime="torch-distributed", pods=GPUS).to_json(),
    "sparkapplication": SparkApplication(
        **NAMES, image="r.io/spark:4.0.1", spark_version="4.0.1", main="local:///main.py", executor=SparkPods()
    ).to_json(),
}


def platform_pods(platform: Platform) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every pod of Kubeflow except those of DaemonSets, by the name of its workload."""
    for stack in STACKS[1:]:
        for found in platform.objects(stack):
            for spec in pod_specs(found) if found["kind"] in ("Deployment", "StatefulSet", "CronJob", "Job") else ():
                about = found["metadata"]
                yield f"{found['kind']}-{about['namespace']}-{about['name']}".lower(), spec


def job_pods() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every pod of one job of each kind, by the name of its role."""
    for kind, job in JOBS.items():
        spec = job["spec"]
        for role, found in roles(spec):
            yield f"{kind}-{role}".lower(), found


def roles(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The specification of the pods of each role of a job."""
    for key, replicas in spec.items():
        if key.endswith("ReplicaSpecs"):
            yield from ((role, one["template"]["spec"]) for role, one in replicas.items())
    for role in ("driver", "executor"):  # of Spark, whose operator writes the containers
        if role in spec:
            yield role, {**spec[role], "containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}
    if "trainer" in spec:  # the pods are those of a runtime, with what the job patches into them
        (patch,) = spec["runtimePatches"]
        yield "trainer", {**pod_of(patch), "containers": [{"resources": spec["trainer"]["resourcesPerNode"]}]}


def pod_of(patch: Any) -> Mapping[str, Any]:
    """The one part of a patch that places pods."""
    if isinstance(patch, dict):
        if set(PLACING) & patch.keys():
            return patch
        for value in patch.values():
            if found := pod_of(value):
                return found
    if isinstance(patch, list):
        for value in patch:
            if found := pod_of(value):
                return found
    return {}


@dataclass(frozen=True)
class Placed:
    """What the scheduler decided.

    :param purposes: of the node of each pod, by the name of its workload; None while it has none.
    :param reasons: of the scheduler for pods without a node.
    """

    purposes: Mapping[str, str | None]
    reasons: Mapping[str, str]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The option with the most workloads: servers of state and of sign-in, Trainer, Kueue and model registries."""
    return Platform(tmp_path_factory.mktemp("vanilla"), "vanilla", more=True)


@pytest.fixture(scope="module")
def groups(platform: Platform) -> list[NodeGroupSpec]:
    return list(platform.synthesis.stage.clusters["training"].cluster.cluster.node_groups)


@pytest.fixture(scope="module")
def pods(platform: Platform) -> dict[str, Mapping[str, Any]]:
    gpu = GPUS.template("main")["spec"]
    lacking = {key: value for key, value in gpu.items() if key != "tolerations"}
    return {**dict(platform_pods(platform)), **dict(job_pods()), LACKING: lacking}


@pytest.fixture(scope="module")
def placed(
    node_programs: programs.NodePrograms, groups: list[NodeGroupSpec], pods: Mapping[str, Mapping[str, Any]]
) -> Placed:
    """Two nodes of each group, without a machine, and all pods."""
    kwok = node_programs.binaries / "kwok"
    if not kwok.exists():
        pytest.skip("nodes without a machine need go/kwok")
    with real_cluster() as cluster, FakeNodes(kwok, cluster.access, cluster.token) as fake:
        api = cluster.api
        for node in api.items("/api/v1/nodes"):  # the one with a machine belongs to no group
            api.request(
                "PATCH", f"/api/v1/nodes/{node['metadata']['name']}", {"spec": {"unschedulable": True}}, MERGE_PATCH
            )
        purposes = dict(add_nodes(api, groups))
        api.request("POST", "/api/v1/namespaces", {"metadata": {"name": HOME}})
        for name, spec in pods.items():
            api.request("POST", f"/apis/apps/v1/namespaces/{HOME}/deployments", workload(name, spec))
        return decided(api, fake, purposes, len(pods))


def add_nodes(api: ApiClient, groups: list[NodeGroupSpec]) -> Iterator[tuple[str, str]]:
    for group in groups:
        taints = [Taint(each["key"], each.get("value", ""), each["effect"]) for each in group.taints]
        devices = {group.device_resource: "64"} if group.device_resource else {}
        for number in range(2):
            name = f"{group.name}-{number}"
            zone = {"topology.kubernetes.io/zone": f"eu-west-1{'ab'[number]}"}
            resources = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "500Gi", "pods": "250", **devices}
            add_fake_node(api, name, labels={**group.labels, **zone}, taints=taints, resources=resources)
            yield name, group.purpose


def workload(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A Deployment whose pod has all that the scheduler reads of a pod, and nothing else."""
    containers = [
        {"name": f"c{number}", "image": PAUSE_IMAGE, "resources": one.get("resources", {})}
        for number, one in enumerate(spec["containers"])
    ]
    placing = {key: spec[key] for key in PLACING if key in spec}
    labels = {"workload": name}
    template = {"metadata": {"labels": labels}, "spec": {**placing, "containers": containers}}
    return {
        "metadata": {"name": name, "namespace": HOME},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def decided(api: ApiClient, fake: FakeNodes, purposes: Mapping[str, str], count: int) -> Placed:
    """Wait until the scheduler has decided about every pod."""
    for _ in range(PATIENCE_SECONDS):
        fake.check()
        found = {one["metadata"]["labels"]["workload"]: one for one in api.items(f"/api/v1/namespaces/{HOME}/pods")}
        reasons = {name: refusal(one) for name, one in found.items() if refusal(one)}
        nodes = {name: one["spec"].get("nodeName") for name, one in found.items()}
        if len(found) == count and all(node or name in reasons for name, node in nodes.items()):
            return Placed({name: purposes[node] if node else None for name, node in nodes.items()}, reasons)
        time.sleep(1)
    raise AssertionError(f"{len(found)} of {count} pods were decided about in {PATIENCE_SECONDS} s")


def refusal(pod: Mapping[str, Any]) -> str:
    """Why the scheduler found no node."""
    conditions = pod["status"].get("conditions", [])
    return next((one["message"] for one in conditions if one.get("reason") == "Unschedulable"), "")


@pytest.mark.promise("pods-on-their-nodes", "system-nodes")
def test_the_scheduler_puts_every_pod_of_kubeflow_on_a_node_for_it(placed: Placed, platform: Platform) -> None:
    names = [name for name, _ in platform_pods(platform)]
    assert len(names) > 35
    in_teams = {name for name in names if any(f"-{team}-" in name for team in TEAMS)}
    assert in_teams
    assert {name: placed.purposes[name] for name in names if name not in in_teams} == {
        name: "system" for name in names if name not in in_teams
    }
    assert {placed.purposes[name] for name in in_teams} == {"general"}


@pytest.mark.promise("pods-on-their-nodes", "gpu-from-zero")
def test_the_scheduler_puts_the_pods_of_a_job_of_each_kind_where_their_purpose_says(
    placed: Placed, groups: list[NodeGroupSpec]
) -> None:
    found = dict(job_pods())
    assert {name.partition("-")[0] for name in found} == set(JOBS)
    purposes = {group.name: group.purpose for group in groups}
    for name, spec in found.items():
        allowed = {purposes[group] for group in groups_that_take(spec, groups)}
        assert placed.purposes[name] in allowed, name
    on_gpus = {name for name in found if "nvidia.com/gpu" in str(found[name]["containers"])}
    assert on_gpus >= {"pytorchjob-worker", "mpijob-worker", "tfjob-worker", "trainjob-trainer"}
    gpu_purposes = {group.purpose for group in groups if group.device_resource == "nvidia.com/gpu"}
    assert {placed.purposes[name] for name in on_gpus} <= gpu_purposes
    assert {placed.purposes[name] for name in found if name not in on_gpus} == {"general"}


@pytest.mark.promise("pods-on-their-nodes")
def test_a_pod_with_gpus_that_does_not_tolerate_their_taint_stays_pending(placed: Placed) -> None:
    assert placed.purposes[LACKING] is None
    assert "untolerated taint" in placed.reasons[LACKING]
    assert set(placed.reasons) == {LACKING}
