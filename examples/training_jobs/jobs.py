"""The jobs as objects of Kubernetes.

python -m examples.training_jobs.jobs --namespace churn --image REGISTRY/training:1.0 | kubectl apply -f -
"""

import argparse
import json
from collections.abc import Iterator

from mlplatform_constructs.kubeflow import (
    Experiment,
    MPIJob,
    Objective,
    Parameter,
    PyTorchJob,
    Resources,
    RunPolicy,
    TFJob,
    TrainingPods,
    XGBoostJob,
)

FOLDER = "/opt/training_jobs"
"""Where the image has the programs of this folder."""
_ONE_DAY = RunPolicy(max_seconds=24 * 3600, keep_seconds=7 * 24 * 3600)


def tensorflow(namespace: str, image: str, *, workers: int = 2) -> TFJob:
    """Synchronous training with TensorFlow's MultiWorkerMirroredStrategy."""
    return TFJob(name="digits-tensorflow", namespace=namespace, worker=_pods("tf.py", image, workers), policy=_ONE_DAY)


def pytorch(namespace: str, image: str, *, workers: int = 2) -> PyTorchJob:
    """Training with PyTorch's DistributedDataParallel: one process for each GPU, the first on the master."""
    return PyTorchJob(
        name="digits-pytorch",
        namespace=namespace,
        master=_pods("torch_ddp.py", image, 1, gpus=1, torchrun=True),
        worker=_pods("torch_ddp.py", image, workers - 1, gpus=1, torchrun=True) if workers > 1 else None,
        policy=_ONE_DAY,
    )


def horovod(namespace: str, image: str, *, workers: int = 2, gpus: int = 4) -> MPIJob:
    """Training with Horovod: MPI starts one process for each GPU of each worker."""
    processes = str(workers * gpus)
    command = ("mpirun", "-np", processes, "--bind-to", "none", "-x", "NCCL_DEBUG=INFO", "python", f"{FOLDER}/hvd.py")
    return MPIJob(
        name="digits-horovod",
        namespace=namespace,
        launcher=TrainingPods(image=image, resources=Resources(cpu="1", memory="2Gi"), command=command),
        worker=TrainingPods(
            image=image,
            resources=Resources(cpu="8", memory="64Gi", gpus=gpus),
            replicas=workers,
            purpose=TrainingPods.GPU,
        ),
        policy=_ONE_DAY,
    )


def mpi(namespace: str, image: str, *, workers: int = 2) -> MPIJob:
    """Training on nodes without GPUs: MPI starts a process on each worker, and averages their gradients."""
    command = ("mpirun", "-np", str(workers), "--bind-to", "none", "python", f"{FOLDER}/mpi.py")
    return MPIJob(
        name="digits-mpi",
        namespace=namespace,
        launcher=TrainingPods(image=image, resources=Resources(cpu="1", memory="2Gi"), command=command),
        worker=TrainingPods(image=image, resources=Resources(cpu="2", memory="4Gi"), replicas=workers),
        policy=_ONE_DAY,
    )


def xgboost(namespace: str, image: str, *, workers: int = 2) -> XGBoostJob:
    """Distributed training with XGBoost on nodes without GPUs: the rows are divided among master and workers."""

    def pods(replicas: int) -> TrainingPods:
        return TrainingPods(
            image=image,
            resources=Resources(cpu="1", memory="2Gi"),
            replicas=replicas,
            command=("python", f"{FOLDER}/xgb.py"),
        )

    return XGBoostJob(name="cancer-xgboost", namespace=namespace, master=pods(1), worker=pods(workers), policy=_ONE_DAY)


def search(namespace: str, image: str, *, trials: int = 12) -> Experiment:
    """A search with Katib for the parameters with the best accuracy."""
    arguments = [f"--{name}=${{trialParameters.{name}}}" for name in ("trees", "depth", "rate")]
    return Experiment(
        name="digits-search",
        namespace=namespace,
        objective=Objective.maximize("accuracy", goal=0.99),
        algorithm="random",
        parameters=(
            Parameter.integer("trees", 10, 200),
            Parameter.integer("depth", 2, 8),
            Parameter.double("rate", 0.01, 0.5),
        ),
        max_trials=trials,
        parallel_trials=min(3, trials),
        trial=TrainingPods(
            image=image,
            resources=Resources(cpu="1", memory="2Gi"),
            command=("python", f"{FOLDER}/trial.py"),
            args=tuple(arguments),
        ),
    )


def _pods(program: str, image: str, replicas: int, *, gpus: int = 1, torchrun: bool = False) -> TrainingPods:
    return TrainingPods(
        image=image,
        resources=Resources(cpu="4", memory="16Gi", gpus=gpus),
        replicas=replicas,
        purpose=TrainingPods.GPU,
        command=("torchrun" if torchrun else "python", f"{FOLDER}/{program}"),
    )


def all_jobs(namespace: str, image: str) -> Iterator[TFJob | PyTorchJob | MPIJob | XGBoostJob | Experiment]:
    """Every job of this example."""
    yield tensorflow(namespace, image)
    yield pytorch(namespace, image)
    yield horovod(namespace, image)
    yield mpi(namespace, image)
    yield xgboost(namespace, image)
    yield search(namespace, image)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.training_jobs.jobs", description=__doc__)
    parser.add_argument("--namespace", required=True, help="of the team")
    parser.add_argument("--image", required=True, help="with the programs of this folder")
    options = parser.parse_args()
    objects = [job.to_json() for job in all_jobs(options.namespace, options.image)]
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))


if __name__ == "__main__":
    main()
