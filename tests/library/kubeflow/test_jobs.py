"""Jobs of the training operator and of the MPI operator."""

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.kubeflow import (
    MPIJob,
    PyTorchJob,
    Resources,
    RunPolicy,
    TFJob,
    TrainingPods,
    XGBoostJob,
)

ONE = TrainingPods(image="r.io/train:1.0", resources=Resources(cpu="1", memory="2Gi"))
THREE = TrainingPods(image="r.io/train:1.0", resources=Resources(cpu="1", memory="2Gi"), replicas=3)
GPUS = TrainingPods(
    image="r.io/train:1.0", resources=Resources(cpu="8", memory="64Gi", gpus=4), replicas=2, purpose="gpu"
)
ONE_GPU_POD = TrainingPods(image="r.io/train:1.0", resources=Resources(cpu="8", memory="64Gi", gpus=4), purpose="gpu")
NAMES = {"name": "churn", "namespace": "vision"}
JOBS: dict[str, Callable[..., Any]] = {
    "TFJob": lambda **more: TFJob(**{**NAMES, "worker": THREE, "chief": ONE, "parameter_servers": ONE, **more}),
    "PyTorchJob": lambda **more: PyTorchJob(**{**NAMES, "master": ONE_GPU_POD, "worker": GPUS, **more}),
    "XGBoostJob": lambda **more: XGBoostJob(**{**NAMES, "master": ONE, "worker": THREE, **more}),
    "MPIJob": lambda **more: MPIJob(**{**NAMES, "launcher": ONE, "worker": GPUS, **more}),
}
every_kind = pytest.mark.parametrize("kind", JOBS)


@pytest.mark.promise("training-jobs")
@every_kind
def test_the_api_accepts_a_job(offer: Callable[[Any], None], kind: str) -> None:
    found = JOBS[kind](policy=RunPolicy(retries=2, max_seconds=3600, keep_seconds=86400, queue="urgent"))
    offer(found.to_json())


@every_kind
def test_objects(kind: str, snapshot_json: SnapshotAssertion) -> None:
    assert JOBS[kind]().to_json() == snapshot_json


@every_kind
def test_pods_are_replaced_only_where_there_are_retries(kind: str) -> None:
    def restarts(job: Any) -> set[str]:
        (replicas,) = (value for key, value in job.to_json()["spec"].items() if key.endswith("ReplicaSpecs"))
        return {one["restartPolicy"] for one in replicas.values()}

    assert restarts(JOBS[kind]()) == {"Never"}
    assert "OnFailure" in restarts(JOBS[kind](policy=RunPolicy(retries=1)))


@every_kind
def test_a_policy_says_when_a_job_ends_and_in_which_queue_it_waits(kind: str) -> None:
    found = JOBS[kind](policy=RunPolicy(max_seconds=60, queue="urgent", suspended=True)).to_json()
    assert found["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "urgent"}
    assert found["spec"]["runPolicy"] == {
        "backoffLimit": 0,
        "cleanPodPolicy": "Running",
        "activeDeadlineSeconds": 60,
        "suspend": True,
    }


@pytest.mark.promise("mpi-training")
def test_processes_follow_from_gpus() -> None:
    assert JOBS["PyTorchJob"]().to_json()["spec"]["nprocPerNode"] == "4"
    assert JOBS["PyTorchJob"](processes_per_pod=1).to_json()["spec"]["nprocPerNode"] == "1"
    assert "nprocPerNode" not in JOBS["PyTorchJob"](master=ONE, worker=None).to_json()["spec"]
    assert JOBS["MPIJob"]().to_json()["spec"]["slotsPerWorker"] == 4
    assert JOBS["MPIJob"](worker=THREE).to_json()["spec"]["slotsPerWorker"] == 1


@pytest.mark.promise("mpi-training")
def test_workers_of_mpi_wait_for_the_launcher_unless_they_have_a_command() -> None:
    def container(worker: TrainingPods) -> Any:
        spec = JOBS["MPIJob"](worker=worker).to_json()["spec"]["mpiReplicaSpecs"]["Worker"]
        return spec["template"]["spec"]["containers"][0]

    assert container(THREE)["command"] == ["/usr/sbin/sshd"]
    own = TrainingPods(image="r.io/train:1.0", resources=THREE.resources, command=("/run/wait",))
    assert container(own)["command"] == ["/run/wait"]


@every_kind
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Churn"}, "name must be lower-case"),
        ({"name": "1-churn"}, "beginning with a letter"),
        ({"name": "c" * 60}, "name must be .* characters shorter: its pod would be named"),
        ({"namespace": "a.b"}, "namespace must be lower-case"),
        ({"policy": {"retries": 1}}, "policy"),
    ],
)
def test_what_cannot_work_is_refused(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        JOBS[kind](**given)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("TFJob", {"chief": THREE}, "TFJob 'churn': chief: replicas must be 1, got 3"),
        ("TFJob", {"evaluator": THREE}, "evaluator: replicas must be 1, got 3"),
        ("PyTorchJob", {"master": THREE}, "master: replicas must be 1, got 3"),
        ("PyTorchJob", {"processes_per_pod": 0}, "processes_per_pod must be 1 or more, got 0"),
        ("XGBoostJob", {"master": THREE}, "master: replicas must be 1, got 3"),
        ("MPIJob", {"launcher": THREE}, "launcher: replicas must be 1, got 3"),
        ("MPIJob", {"launcher": ONE_GPU_POD}, "launcher: gpus must be 0, because it only starts the workers; got 4"),
        ("MPIJob", {"slots_per_worker": 0}, "slots_per_worker must be 1 or more, got 0"),
        ("MPIJob", {"ssh_folder": ".ssh"}, "ssh_folder must begin with '/', got '.ssh'"),
    ],
)
def test_what_a_kind_of_job_cannot_do_is_refused(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        JOBS[kind](**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"retries": -1}, "retries must be 0 or more, got -1"),
        ({"retries": "1"}, "retries"),
        ({"max_seconds": 0}, "max_seconds must be 1 or more, got 0"),
        ({"keep_seconds": -1}, "keep_seconds must be 0 or more, got -1"),
        ({"clean_pods": "Some"}, "clean_pods"),
        ({"queue": "No Queue"}, "queue must be lower-case"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"RunPolicy: {message}"):
        RunPolicy(**given)
