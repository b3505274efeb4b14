"""Jobs of Kubeflow Trainer."""

from collections.abc import Callable
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from mlplatform_constructs import ConfigurationError
from mlplatform_constructs.kubeflow import Resources, RunPolicy, TrainingPods, TrainJob

GPUS = TrainingPods(
    image="r.io/train:1.0",
    resources=Resources(cpu="8", memory="64Gi", gpus=4),
    replicas=2,
    purpose="gpu",
    claims={"/data": "training-data"},
)


def job(**changes: Any) -> TrainJob:
    return TrainJob(**{"name": "churn", "namespace": "vision", "runtime": "torch-distributed", "pods": GPUS, **changes})


def test_object(snapshot_json: SnapshotAssertion) -> None:
    assert job().to_json() == snapshot_json


@pytest.mark.promise("training-jobs")
def test_the_api_accepts_a_job(offer: Callable[[Any], None]) -> None:
    offer(job(policy=RunPolicy(max_seconds=60, suspended=True)).to_json())


@pytest.mark.promise("training-jobs")
def test_nodes_and_processes_follow_from_the_pods() -> None:
    trainer = job().to_json()["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 4)
    assert job(processes_per_node=1).to_json()["spec"]["trainer"]["numProcPerNode"] == 1


def test_placement_and_volumes_are_patched_into_the_job_of_the_runtime_that_trains() -> None:
    (patch,) = job(job="launcher").to_json()["spec"]["runtimePatches"]
    (found,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = found["template"]["spec"]["template"]["spec"]
    assert found["name"] == "launcher"
    assert pod["nodeSelector"] == {"mlplatform/accelerator": "nvidia"}
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/data", "/dev/shm"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "c" * 50}, "name must have at most 48 characters"),
        ({"runtime": "Torch"}, "runtime must be lower-case"),
        ({"runtime_kind": "Runtime"}, "runtime_kind"),
        ({"processes_per_node": 0}, "processes_per_node must be 1 or more, got 0"),
        ({"policy": RunPolicy(retries=1)}, "policy: retries is decided by the runtime; leave it out"),
        ({"policy": RunPolicy(clean_pods="All")}, "policy: clean_pods is decided by the runtime"),
        ({"policy": RunPolicy(keep_seconds=1)}, "policy: keep_seconds is decided by the runtime"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TrainJob .*: {message}"):
        job(**given)
