"""The example jobs: accepted by the API, sized for their nodes, and a search whose trials run."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.training_jobs import jobs
from kubernetes_rehearsal.processes import free_port
from mlplatform_constructs.kubeflow import MPIJob
from tests.examples.package_sets import package_set
from tests.library.offers import Offer, offering

FOLDER = Path(jobs.__file__).parent
IMAGE = "r.io/training:1.0"


@pytest.fixture(scope="module")
def offer() -> Iterator[Offer]:
    with offering("kubeflow") as check:
        yield check


@pytest.mark.promise("training-examples")
@pytest.mark.parametrize("job", list(jobs.all_jobs("vision", IMAGE)), ids=lambda job: job.name)
def test_the_api_accepts_every_job(offer: Offer, job: Any) -> None:
    offer(job.to_json())


def test_every_program_that_a_job_starts_is_in_the_image() -> None:
    objects = str([job.to_json() for job in jobs.all_jobs("vision", IMAGE)])
    programs = set(re.findall(rf"{jobs.FOLDER}/([\w.]+)", objects))
    assert programs == {"hvd.py", "mpi.py", "tf.py", "torch_ddp.py", "trial.py", "xgb.py"}
    assert [name for name in programs if not (FOLDER / name).is_file()] == []


@pytest.mark.promise("training-examples")
@pytest.mark.parametrize(("workers", "gpus"), [(1, 1), (2, 4), (4, 8)])
def test_horovod_has_one_process_for_each_gpu_of_each_worker(workers: int, gpus: int) -> None:
    job = jobs.horovod("vision", IMAGE, workers=workers, gpus=gpus)
    assert isinstance(job, MPIJob)
    spec = job.to_json()["spec"]
    [launcher] = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"]
    assert launcher["command"][:3] == ["mpirun", "-np", str(workers * gpus)]
    assert spec["slotsPerWorker"] * spec["mpiReplicaSpecs"]["Worker"]["replicas"] == workers * gpus


@pytest.mark.promise("training-examples")
def test_trials_of_the_search_run_and_print_the_metric_of_its_objective() -> None:
    path = package_set("training")
    found = []
    for trees, depth, rate in ((5, 2, 0.05), (60, 4, 0.3)):
        command = [sys.executable, str(FOLDER / "trial.py"), f"--trees={trees}", f"--depth={depth}", f"--rate={rate}"]
        done = subprocess.run(command, env={"PYTHONPATH": path, "PATH": "/usr/bin"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        metric, _, value = done.stdout.strip().partition("=")
        assert metric == jobs.search("vision", IMAGE).objective.metric
        found.append(float(value))
    assert found[0] < found[1] > 0.9


@pytest.mark.promise("training-examples")
def test_pods_with_a_part_of_the_rows_each_train_one_model_of_all_rows() -> None:
    group = {"WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    environment = {"PYTHONPATH": package_set("training"), "PATH": "/usr/bin", **group}
    command = [sys.executable, str(FOLDER / "xgb.py")]
    processes = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(3)
    ]
    said = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    found = [dict(re.findall(r"(\w+)=([\d.]+)", text)) for text in said]
    assert [one["rank"] for one in found] == ["0", "1", "2"]
    assert {(one["rows"], one["of"]) for one in found} == {("142", "426")}
    assert len({one["accuracy"] for one in found}) == 1, "all hold the same model"
    assert float(found[0]["accuracy"]) > 0.93


def test_arguments_of_the_search_are_those_of_the_trial() -> None:
    experiment = jobs.search("vision", IMAGE).to_json()["spec"]
    [container] = experiment["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    options = set(re.findall(r'"--(\w+)"', (FOLDER / "trial.py").read_text(encoding="utf-8")))
    assert {argument.split("=")[0].strip("-") for argument in container["args"]} == options
