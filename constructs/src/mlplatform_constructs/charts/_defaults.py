"""What the platform decides for every application of a team."""

import re
from dataclasses import dataclass
from typing import Any

from .._arguments import ConfigurationError

_MEMORY = re.compile(r"[1-9][0-9]*(Mi|Gi)")
_CPU = re.compile(r"[1-9][0-9]*m?|0?\.[0-9]+|[1-9][0-9]*\.[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one replica.

    There is no CPU limit, which would throttle a container on an idle node. The memory limit equals the request, so
    that a container that exceeds it is killed before it takes memory from other pods.

    :param cpu: CPUs, such as ``500m`` or ``2``.
    :param memory: such as ``512Mi`` or ``4Gi``.
    :param gpus: whole NVIDIA GPUs. Default: 0.
    :param scratch: size of the writable folder ``/tmp``. Default: ``1Gi``.
    :raises ConfigurationError: for a quantity that Kubernetes does not read as one.
    """

    cpu: str
    memory: str
    gpus: int = 0
    scratch: str = "1Gi"

    def __post_init__(self) -> None:
        if not _CPU.fullmatch(self.cpu):
            raise ConfigurationError(f"Resources: cpu must be a quantity such as '500m' or '2', got {self.cpu!r}")
        for name in ("memory", "scratch"):
            value = getattr(self, name)
            if not _MEMORY.fullmatch(value):
                raise ConfigurationError(f"Resources: {name} must be a quantity such as '4Gi', got {value!r}")
        if self.gpus < 0:
            raise ConfigurationError(f"Resources: gpus must be 0 or more, got {self.gpus}")

    @property
    def millicpus(self) -> int:
        """The CPUs in thousandths."""
        return int(self.cpu[:-1]) if self.cpu.endswith("m") else round(float(self.cpu) * 1000)

    def to_json(self) -> dict[str, Any]:
        """As a container takes them."""
        devices = {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {}
        limits = {"memory": self.memory, "ephemeral-storage": self.scratch, **devices}
        return {"requests": {"cpu": self.cpu, **limits}, "limits": limits}


def spread(labels: dict[str, str]) -> dict[str, Any]:
    """Replicas in different Availability Zones, where that is possible."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
