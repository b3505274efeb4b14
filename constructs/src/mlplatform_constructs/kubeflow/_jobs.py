from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from .._arguments import ConfigurationError, check_fields
from ._objects import MAX_NAME, check_name, custom_object, given
from ._pods import TrainingPods


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """The lifecycle of a job.

    :param retries: how often failed pods are replaced before the job fails. Default: 0.
    :param clean_pods: pods that are deleted when the job ends. Default: ``Running``; finished ones keep their logs.
    :param max_seconds: time limit of a running job. Default: none.
    :param keep_seconds: time after which a finished job is deleted with its pods. Default: it is not deleted.
    :param queue: the Kueue LocalQueue in which it waits for quota. Default: that of its namespace, if any.
    :param suspended: whether it is created suspended. Default: False.
    :raises ConfigurationError: for numbers out of range.
    """

    retries: int = 0
    clean_pods: Literal["All", "Running", "None"] = "Running"
    max_seconds: int | None = None
    keep_seconds: int | None = None
    queue: str | None = None
    suspended: bool = False

    def __post_init__(self) -> None:
        place = type(self).__name__
        check_fields(self, place)
        for name, least in (("retries", 0), ("max_seconds", 1), ("keep_seconds", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigurationError(f"{place}: {name} must be {least} or more, got {value}")
        if self.queue is not None:
            check_name(place, "queue", self.queue)

    @property
    def labels(self) -> dict[str, str]:
        """Of the job."""
        return {"kueue.x-k8s.io/queue-name": self.queue} if self.queue else {}

    def to_json(self) -> dict[str, Any]:
        """The policy in the format of Kubeflow's operators."""
        fields = given(
            activeDeadlineSeconds=self.max_seconds,
            ttlSecondsAfterFinished=self.keep_seconds,
            suspend=self.suspended or None,
        )
        return {"backoffLimit": self.retries, "cleanPodPolicy": self.clean_pods, **fields}


@dataclass(frozen=True, kw_only=True)
class _Job(ABC):
    """Base of the jobs of Kubeflow's operators."""

    KIND: ClassVar[str]
    API_VERSION: ClassVar[str] = "kubeflow.org/v1"
    CONTAINER: ClassVar[str]
    PRIMARY: ClassVar[str] = "master"
    """The label ``training.kubeflow.org/job-role`` of the pod that reports metrics. Without a chief or master that is
    the first worker."""

    name: str
    namespace: str
    policy: RunPolicy = field(default_factory=RunPolicy)

    def __post_init__(self) -> None:
        check_fields(self, self._place)
        check_name(self._place, "name", self.name)
        check_name(self._place, "namespace", self.namespace)
        for role, pods in self._roles().items():
            # Pods and their Services have this name.
            last = f"{self.name}-{role.lower()}-{pods.replicas - 1}"
            if len(last) > MAX_NAME:
                raise ConfigurationError(
                    f"{self._place}: name must be {len(last) - MAX_NAME} characters shorter: its pod would be named "
                    f"{last!r}, and a name has at most {MAX_NAME}"
                )

    @property
    def _place(self) -> str:
        return f"{self.KIND} {self.name!r}"

    @abstractmethod
    def _roles(self) -> dict[str, TrainingPods]:
        """Pods by role."""

    @abstractmethod
    def _spec(self) -> dict[str, Any]:
        """All of the spec."""

    def _one(self, role: str) -> None:
        pods = self._roles()[role]
        if pods.replicas != 1:
            raise ConfigurationError(f"{self._place}: {role.lower()}: replicas must be 1, got {pods.replicas}")

    def _replicas(self) -> dict[str, Any]:
        restart = "OnFailure" if self.policy.retries else "Never"
        return {
            role: {
                "replicas": pods.replicas,
                "restartPolicy": restart,
                "template": pods.template(self.CONTAINER),
            }
            for role, pods in self._roles().items()
        }

    def to_json(self) -> dict[str, Any]:
        """The object."""
        return custom_object(
            self.API_VERSION, self.KIND, self.name, self.namespace, self._spec(), labels=self.policy.labels
        )


@dataclass(frozen=True, kw_only=True)
class TFJob(_Job):
    """A distributed TensorFlow job. Each pod finds the others in its environment variable ``TF_CONFIG``.

    :param worker: pods that train.
    :param chief: the pod that also writes checkpoints. Default: the first worker.
    :param parameter_servers: pods that store variables, for asynchronous training. Default: none.
    :param evaluator: the pod that evaluates checkpoints. Default: none.
    :param policy: Default: no retries, no bound.
    :raises ConfigurationError: for a name too long for its pods, or more than one chief or evaluator.
    """

    KIND = "TFJob"
    CONTAINER = "tensorflow"

    worker: TrainingPods
    chief: TrainingPods | None = None
    parameter_servers: TrainingPods | None = None
    evaluator: TrainingPods | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for role in {"Chief", "Evaluator"} & self._roles().keys():
            self._one(role)

    def _roles(self) -> dict[str, TrainingPods]:
        return given(Chief=self.chief, PS=self.parameter_servers, Worker=self.worker, Evaluator=self.evaluator)

    def _spec(self) -> dict[str, Any]:
        return {"runPolicy": self.policy.to_json(), "tfReplicaSpecs": self._replicas()}


@dataclass(frozen=True, kw_only=True)
class PyTorchJob(_Job):
    """A distributed PyTorch job. Pods get ``MASTER_ADDR``, ``RANK`` and ``WORLD_SIZE``.

    :param master: the pod of rank 0.
    :param worker: the others. Default: none.
    :param processes_per_pod: which ``torchrun`` starts. Default: one for each GPU of the master.
    :param policy: Default: no retries, no bound.
    :raises ConfigurationError: for a name too long for its pods, or more than one master.
    """

    KIND = "PyTorchJob"
    CONTAINER = "pytorch"

    master: TrainingPods
    worker: TrainingPods | None = None
    processes_per_pod: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one("Master")
        if self.processes_per_pod is not None and self.processes_per_pod < 1:
            raise ConfigurationError(
                f"{self._place}: processes_per_pod must be 1 or more, got {self.processes_per_pod}"
            )

    def _roles(self) -> dict[str, TrainingPods]:
        return given(Master=self.master, Worker=self.worker)

    def _spec(self) -> dict[str, Any]:
        processes = self.processes_per_pod or self.master.resources.gpus
        return {
            "runPolicy": self.policy.to_json(),
            **given(nprocPerNode=str(processes) if processes else None),
            "pytorchReplicaSpecs": self._replicas(),
        }


@dataclass(frozen=True, kw_only=True)
class XGBoostJob(_Job):
    """A distributed XGBoost or LightGBM job. Pods get ``MASTER_ADDR``, ``RANK`` and ``WORLD_SIZE``.

    :param master: the pod that coordinates and trains.
    :param worker: the others. Default: none.
    :param policy: Default: no retries, no bound.
    :raises ConfigurationError: for a name too long for its pods, or more than one master.
    """

    KIND = "XGBoostJob"
    CONTAINER = "xgboost"

    master: TrainingPods
    worker: TrainingPods | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one("Master")

    def _roles(self) -> dict[str, TrainingPods]:
        return given(Master=self.master, Worker=self.worker)

    def _spec(self) -> dict[str, Any]:
        return {"runPolicy": self.policy.to_json(), "xgbReplicaSpecs": self._replicas()}


@dataclass(frozen=True, kw_only=True)
class MPIJob(_Job):
    """An MPI job, such as Horovod. The launcher starts the processes on the workers over SSH, once all of them run.

    :param launcher: the pod that runs ``mpirun``. It finds the workers in ``/etc/mpi/hostfile``.
    :param worker: pods that run the processes. Without a command they run ``sshd`` as the images of the MPI operator
        have it.
    :param slots_per_worker: processes on each worker. Default: one for each of its GPUs, or 1.
    :param ssh_folder: where the keys of the job appear. Default: ``/home/mpiuser/.ssh``, for the user 1000 of the
        images of the MPI operator.
    :param policy: Default: no retries, no bound.
    :raises ConfigurationError: for a name too long for its pods, more than one launcher, or a launcher with GPUs.
    """

    KIND = "MPIJob"
    API_VERSION = "kubeflow.org/v2beta1"
    CONTAINER = "mpi"
    PRIMARY = "launcher"

    launcher: TrainingPods
    worker: TrainingPods
    slots_per_worker: int | None = None
    ssh_folder: str = "/home/mpiuser/.ssh"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one("Launcher")
        if self.launcher.resources.gpus:
            raise ConfigurationError(
                f"{self._place}: launcher: gpus must be 0, because it only starts the workers; got "
                f"{self.launcher.resources.gpus}"
            )
        if self.slots_per_worker is not None and self.slots_per_worker < 1:
            raise ConfigurationError(f"{self._place}: slots_per_worker must be 1 or more, got {self.slots_per_worker}")
        if not self.ssh_folder.startswith("/"):
            raise ConfigurationError(f"{self._place}: ssh_folder must begin with '/', got {self.ssh_folder!r}")

    def _roles(self) -> dict[str, TrainingPods]:
        return {"Launcher": self.launcher, "Worker": self.worker}

    def _spec(self) -> dict[str, Any]:
        replicas = self._replicas()
        replicas["Worker"]["restartPolicy"] = "Never"
        (container,) = replicas["Worker"]["template"]["spec"]["containers"]
        if not self.worker.command:
            container |= {"command": ["/usr/sbin/sshd"], "args": ["-De", "-f", "/home/mpiuser/.sshd_config"]}
        return {
            "runPolicy": self.policy.to_json(),
            "slotsPerWorker": self.slots_per_worker or self.worker.resources.gpus or 1,
            # A launcher that starts first does not find its workers in DNS, and fails.
            "launcherCreationPolicy": "WaitForWorkersReady",
            "sshAuthMountPath": self.ssh_folder,
            "mpiReplicaSpecs": replicas,
        }
