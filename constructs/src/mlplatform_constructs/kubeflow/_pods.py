import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._arguments import ConfigurationError, check_fields
from ..charts._defaults import Resources as Resources
from ._objects import check_environment, check_image, check_name, given, variables

_MEBIBYTES = {"Mi": 1, "Gi": 1024}
_SIZE = re.compile(r"(?P<number>[1-9][0-9]*)(?P<unit>Mi|Gi)")
_SHARED_MEMORY = "shared-memory"


@dataclass(frozen=True, kw_only=True)
class TrainingPods:
    """The pods of one role of a job: all workers, or the one master.

    They pass the ``restricted`` pod security level and stay out of the service mesh, whose sidecar would keep a
    finished job running.

    :param image: with a tag or a digest, and not ``latest``.
    :param resources: of each pod.
    :param command: Default: the image's own.
    :param args: Default: the image's own.
    :param replicas: how many pods. Default: 1.
    :param purpose: what the nodes are for. ``gpu`` is every node group with NVIDIA GPUs; any other word is the
        ``purpose`` of node groups in the account file. Default: ``general``, nodes that are for nothing else.
    :param environment: variables. Default: none.
    :param claims: name of the PersistentVolumeClaim by the path where its volume appears, such as
        ``{"/data": "training-data"}``. Default: none.
    :param shared_memory: size of ``/dev/shm``, by which processes of one pod exchange batches; it counts as memory of
        the pod. Default: half of the memory of a pod with GPUs, and what the runtime provides (64 MiB) for others.
    :param service_account: Default: ``default-editor``, which each team's namespace has.
    :param user: number of the user that the container runs as. Default: 1000.
    :raises ConfigurationError: for values that do not fit each other, such as GPUs without a purpose.
    """

    GENERAL: ClassVar[str] = "general"
    GPU: ClassVar[str] = "gpu"
    PURPOSE_LABEL: ClassVar[str] = "mlplatform/purpose"
    ACCELERATOR_LABEL: ClassVar[str] = "mlplatform/accelerator"
    GPU_RESOURCE: ClassVar[str] = "nvidia.com/gpu"

    image: str
    resources: Resources
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    replicas: int = 1
    purpose: str = GENERAL
    environment: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    shared_memory: str | None = None
    service_account: str = "default-editor"
    user: int = 1000

    def __post_init__(self) -> None:
        place = type(self).__name__
        check_fields(self, place)
        check_image(place, self.image)
        check_name(place, "purpose", self.purpose)
        check_environment(place, self.environment)
        if self.replicas < 1:
            raise ConfigurationError(f"{place}: replicas must be 1 or more, got {self.replicas}")
        if self.user < 1:
            raise ConfigurationError(f"{place}: user must be 1 or more, because 0 is root, got {self.user}")
        if self.resources.gpus and self.purpose == self.GENERAL:
            raise ConfigurationError(
                f"{place}: {self.resources.gpus} GPUs need nodes that have some; give purpose='gpu', or the purpose of "
                "a node group with GPUs"
            )
        if self.purpose == self.GPU and not self.resources.gpus:
            raise ConfigurationError(
                f"{place}: purpose='gpu' needs gpus of 1 or more in resources; pods without would occupy GPU nodes idly"
            )
        for path, claim in self.claims.items():
            if not path.startswith("/"):
                raise ConfigurationError(f"{place}: claims: the path of {claim!r} must begin with '/', got {path!r}")
            check_name(place, f"claims[{path!r}]", claim)
        if self.shared_memory is not None:
            self._check_shared_memory(place, self.shared_memory)

    def _check_shared_memory(self, place: str, size: str) -> None:
        if not _SIZE.fullmatch(size):
            raise ConfigurationError(f"{place}: shared_memory must be a quantity such as '4Gi', got {size!r}")
        if _mebibytes(size) >= _mebibytes(self.resources.memory):
            raise ConfigurationError(
                f"{place}: shared_memory must be less than the memory of the pod, {self.resources.memory}, of which it "
                f"is a part; got {size}"
            )

    @property
    def placement(self) -> dict[str, Any]:
        """Node selection and tolerations."""
        return placement(self.purpose, self.resources.gpus)

    @property
    def volumes(self) -> list[dict[str, Any]]:
        """Volumes of the pod."""
        names = list(dict.fromkeys(self.claims.values()))
        found: list[dict[str, Any]] = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
        if size := self._shared_memory:
            found.append({"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": size}})
        return found

    @property
    def mounts(self) -> list[dict[str, str]]:
        """Where the volumes appear."""
        found = [{"name": claim, "mountPath": path} for path, claim in self.claims.items()]
        return [*found, *([{"name": _SHARED_MEMORY, "mountPath": "/dev/shm"}] if self._shared_memory else [])]

    @property
    def _shared_memory(self) -> str | None:
        if self.shared_memory or not self.resources.gpus:
            return self.shared_memory
        return f"{max(64, _mebibytes(self.resources.memory) // 2)}Mi"

    def template(self, container: str, **more: Any) -> dict[str, Any]:
        """The pod template.

        :param container: name of the container; operators look for theirs.
        :param more: further fields of the pod.
        """
        main = given(
            name=container,
            image=self.image,
            command=list(self.command),
            args=list(self.args),
            env=variables(self.environment),
            resources=self.resources.to_json(),
            securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            volumeMounts=self.mounts,
        )
        spec = {
            "serviceAccountName": self.service_account,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": self.user,
                "fsGroup": self.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [main],
            **given(volumes=self.volumes),
            **self.placement,
            **more,
        }
        return {"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": spec}


def placement(purpose: str, gpus: int) -> dict[str, Any]:
    """Node selection and tolerations of pods for nodes of a purpose."""
    tolerations: list[dict[str, str]] = []
    selector: dict[str, str] = {}
    if purpose == TrainingPods.GPU:
        selector[TrainingPods.ACCELERATOR_LABEL] = "nvidia"
        tolerations.append({"key": TrainingPods.PURPOSE_LABEL, "operator": "Exists", "effect": "NoSchedule"})
    elif purpose != TrainingPods.GENERAL:
        selector[TrainingPods.PURPOSE_LABEL] = purpose
        tolerations.append(
            {"key": TrainingPods.PURPOSE_LABEL, "operator": "Equal", "value": purpose, "effect": "NoSchedule"}
        )
    if gpus:
        tolerations.append({"key": TrainingPods.GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"})
    return given(nodeSelector=selector, tolerations=tolerations)


def _mebibytes(size: str) -> int:
    found = _SIZE.fullmatch(size)
    assert found
    return int(found["number"]) * _MEBIBYTES[found["unit"]]
