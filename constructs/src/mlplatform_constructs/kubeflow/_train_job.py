from dataclasses import dataclass, field
from typing import Any, Literal

from .._arguments import ConfigurationError, check_fields
from ._jobs import RunPolicy
from ._objects import check_name, custom_object, given, variables
from ._pods import TrainingPods

_GROUP = "trainer.kubeflow.org"


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A job of Kubeflow Trainer, which takes what it does not say from a runtime.

    :param runtime: such as ``torch-distributed``.
    :param pods: the nodes of the job; ``replicas`` is their number.
    :param runtime_kind: ``ClusterTrainingRuntime``, of the platform, or ``TrainingRuntime``, of the namespace. Default:
        of the platform.
    :param job: name of the runtime's job whose pods train. Default: ``node``.
    :param processes_per_node: Default: one for each GPU of a node.
    :param policy: Default: no bound. Trainer takes the number of retries and what is deleted from the runtime.
    :raises ConfigurationError: for a name of another form, or a policy that only other jobs have.
    """

    name: str
    namespace: str
    runtime: str
    pods: TrainingPods
    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    job: str = "node"
    processes_per_node: int | None = None
    policy: RunPolicy = field(default_factory=RunPolicy)

    def __post_init__(self) -> None:
        place = f"TrainJob {self.name!r}"
        check_fields(self, place)
        # JobSet calls pods <name>-<job>-<number>-<number>-<five characters>.
        check_name(place, "name", self.name, longest=63 - len(f"-{self.job}-0-{self.pods.replicas - 1}-xxxxx"))
        for each in ("namespace", "runtime", "job"):
            check_name(place, each, getattr(self, each))
        if self.processes_per_node is not None and self.processes_per_node < 1:
            raise ConfigurationError(f"{place}: processes_per_node must be 1 or more, got {self.processes_per_node}")
        for each, default in (("retries", 0), ("clean_pods", "Running"), ("keep_seconds", None)):
            if getattr(self.policy, each) != default:
                raise ConfigurationError(f"{place}: policy: {each} is decided by the runtime; leave it out")

    def to_json(self) -> dict[str, Any]:
        """The object."""
        trainer = given(
            numNodes=self.pods.replicas,
            numProcPerNode=self.processes_per_node or self.pods.resources.gpus or None,
            image=self.pods.image,
            command=list(self.pods.command),
            args=list(self.pods.args),
            env=variables(self.pods.environment),
            resourcesPerNode=self.pods.resources.to_json(),
        )
        spec = {
            "runtimeRef": {"apiGroup": _GROUP, "kind": self.runtime_kind, "name": self.runtime},
            "trainer": trainer,
            "runtimePatches": [self._patch()],
            **given(activeDeadlineSeconds=self.policy.max_seconds, suspend=self.policy.suspended or None),
        }
        return custom_object(
            f"{_GROUP}/v1alpha1", "TrainJob", self.name, self.namespace, spec, labels=self.policy.labels
        )

    def _patch(self) -> dict[str, Any]:
        """What the fields of a TrainJob do not know: where its pods run, and what they mount."""
        container = given(name="node", volumeMounts=self.pods.mounts)
        pod = {
            "serviceAccountName": self.pods.service_account,
            **given(volumes=self.pods.volumes),
            **({"containers": [container]} if self.pods.mounts else {}),
            **self.pods.placement,
        }
        job = {"name": self.job, "template": {"spec": {"template": {"spec": pod}}}}
        return {
            "manager": "mlplatform.constructs/train-job",
            "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [job]}}},
        }
