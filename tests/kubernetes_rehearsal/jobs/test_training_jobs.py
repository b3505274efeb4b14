"""The example jobs on a real node: the real operator starts their pods, which train one model together."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from examples.training_jobs import jobs
from kubernetes_rehearsal.client import ApiClient
from mlplatform_constructs.kubeflow import RunPolicy, TrainingPods
from rehearsal.components import component
from tests.charts.kubeflow.core import CATALOG
from tests.kubernetes_rehearsal.jobs.clusters import TEAM, cluster_with
from tests.kubernetes_rehearsal.jobs.example_image import (
    CPU,
    TENSORFLOW,
    TORCH,
    XGBOOST,
    image_files,
    needed,
    printed,
    run,
)

OPERATOR = "kubeflow/training_operator"
KEPT = RunPolicy(clean_pods="None")
"""A job ends with its master; by default, a worker that is about to exit is deleted then, and its log with it."""

TORCHRUN = {"PET_TEE": "1", "PET_REDIRECTS": "1"}
"""The torchrun of PyTorch 1.13 fails with Python 3.11 where both have their default."""


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    images = [XGBOOST, *(CATALOG.images.reference(name) for name in ("training-operator", "busybox"))]
    with cluster_with(component(OPERATOR, CATALOG), image_files(), images=images) as found:
        yield found


def on_cpus(pods: TrainingPods | None, **environment: str) -> TrainingPods:
    """The pods for nodes without GPUs."""
    assert pods
    return replace(pods, resources=CPU, purpose=TrainingPods.GENERAL, environment=environment)


@pytest.mark.promise("training-examples")
def test_three_pods_train_one_model_of_all_rows_with_xgboost(api: ApiClient) -> None:
    job = jobs.xgboost(TEAM, XGBOOST, workers=2)
    run(api, replace(job, policy=KEPT).to_json())
    names = [f"{job.name}-master-0", f"{job.name}-worker-0", f"{job.name}-worker-1"]
    found = [dict(re.findall(r"(\w+)=([\d.]+)", printed(api, name))) for name in names]
    assert [(one["rank"], one["rows"], one["of"]) for one in found] == [(str(rank), "142", "426") for rank in range(3)]
    assert len({one["accuracy"] for one in found}) == 1, "all hold the same model"


@pytest.mark.promise("training-examples")
def test_two_pods_train_one_model_of_all_rows_with_pytorch(api: ApiClient) -> None:
    needed(TORCH)
    job = jobs.pytorch(TEAM, TORCH, workers=2)
    master, worker = (on_cpus(pods, **TORCHRUN) for pods in (job.master, job.worker))
    run(api, replace(job, master=master, worker=worker, processes_per_pod=1, policy=KEPT).to_json())
    found = dict(re.findall(r"(\w+)=([\d.]+)", printed(api, f"{job.name}-master-0")))
    # The sampler gives each of two processes 899 of the 1797 rows.
    assert (found["processes"], found["rows"]) == ("2", "1798")
    assert float(found["accuracy"]) > 0.9


@pytest.mark.promise("training-examples")
def test_two_pods_train_one_model_with_tensorflow(api: ApiClient) -> None:
    needed(TENSORFLOW)
    job = jobs.tensorflow(TEAM, TENSORFLOW, workers=2)
    run(api, replace(job, worker=on_cpus(job.worker), policy=KEPT).to_json())
    found = [dict(re.findall(r"(\w+)=([\d.]+)", printed(api, f"{job.name}-worker-{rank}"))) for rank in range(2)]
    assert [one["processes"] for one in found] == ["2", "2"]
    assert float(found[0]["accuracy"]) > 0.9
