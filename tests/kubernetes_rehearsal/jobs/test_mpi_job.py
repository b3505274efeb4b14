"""An MPIJob on a real node: the real operator, Open MPI and OpenSSH start a process on each worker."""

import re
from collections.abc import Iterator

import pytest

from examples.training_jobs import jobs
from kubernetes_rehearsal.client import ApiClient
from rehearsal.components import component
from tests.charts.kubeflow.core import CATALOG
from tests.kubernetes_rehearsal.jobs.clusters import TEAM, cluster_with
from tests.kubernetes_rehearsal.jobs.example_image import TORCH, image_files, printed, run


@pytest.fixture(scope="module")
def api() -> Iterator[ApiClient]:
    images = [TORCH, CATALOG.images.reference("mpi-operator")]
    with cluster_with(component("kubeflow/mpi_operator", CATALOG), image_files(), images=images) as found:
        yield found


@pytest.mark.promise("training-examples")
def test_a_process_on_each_worker_trains_one_model_of_all_rows(api: ApiClient) -> None:
    job = jobs.mpi(TEAM, TORCH, workers=2)
    run(api, job.to_json())
    pods = [pod["metadata"]["name"] for pod in api.items(f"/api/v1/namespaces/{TEAM}/pods")]
    [launcher] = [name for name in pods if name.startswith(f"{job.name}-launcher")]
    found = dict(re.findall(r"(\w+)=([\d.]+)", printed(api, launcher)))
    assert (found["hosts"], found["rows"], found["models"]) == ("2", "1797", "1")
    assert float(found["accuracy"]) > 0.9
