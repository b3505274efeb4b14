"""The same Spark job on premises, on EMR and on Kubernetes: one table of parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mlplatform_components.errors import ComponentError
from mlplatform_components.spark_sizing import ExecutorPlan

Platform = Literal["on-premise", "emr", "eks"]
PLATFORMS: tuple[Platform, ...] = ("on-premise", "emr", "eks")


@dataclass(frozen=True)
class Row:
    """One parameter by platform; None where a platform has no such parameter.

    :param meaning: what it sets.
    """

    meaning: str
    on_premise: str | None
    emr: str | None
    eks: str | None

    def on(self, platform: Platform) -> str | None:
        """The parameter's name on a platform."""
        return {"on-premise": self.on_premise, "emr": self.emr, "eks": self.eks}[platform]


TABLE: Mapping[str, Row] = {
    "executors": Row("number of executors", "--num-executors", "spark.executor.instances", "spec.executor.instances"),
    "cores": Row("cores of an executor", "--executor-cores", "spark.executor.cores", "spec.executor.cores"),
    "heap": Row("heap of an executor", "--executor-memory", "spark.executor.memory", "spec.executor.memory"),
    "overhead": Row(
        "memory of an executor beyond its heap",
        "spark.executor.memoryOverhead",
        "spark.executor.memoryOverhead",
        "spec.executor.memoryOverhead",
    ),
    "driver-heap": Row("heap of the driver", "--driver-memory", "spark.driver.memory", "spec.driver.memory"),
    "fraction": Row("share of the heap", "spark.memory.fraction", "spark.memory.fraction", "spark.memory.fraction"),
    "storage-fraction": Row(
        "share of it that is protected for cached data",
        "spark.memory.storageFraction",
        "spark.memory.storageFraction",
        "spark.memory.storageFraction",
    ),
    "parallelism": Row(
        "number of partitions", "spark.default.parallelism", "spark.default.parallelism", "spark.default.parallelism"
    ),
    "dynamic": Row(
        "executors that come and go",
        "spark.dynamicAllocation.enabled",
        "spark.dynamicAllocation.enabled",
        "spec.dynamicAllocation.enabled",
    ),
    "shuffle-service": Row(
        "where shuffled data survives an executor",
        "spark.shuffle.service.enabled",
        "spark.shuffle.service.enabled",
        "spark.dynamicAllocation.shuffleTracking.enabled",
    ),
    "queue": Row("queue of the job", "--queue", None, "metadata.labels[kueue.x-k8s.io/queue-name]"),
    "scheme": Row("scheme of S3 addresses", "s3a://", "s3://", "s3a://"),
}
"""Parameters by a name of ours. On premises means YARN of a Hadoop distribution, as EMR's clusters have it, too."""


def parameters_on(platform: Platform, plan: ExecutorPlan, *, driver_heap_mib: int = 2048) -> dict[str, str]:
    """The plan in the words of a platform, so that jobs on several can be compared like for like.

    :raises ComponentError: for an unknown platform.
    """
    if platform not in PLATFORMS:
        raise ComponentError(f"platform: must be one of {', '.join(PLATFORMS)}, got {platform!r}")
    values = {
        "executors": str(plan.executors),
        "cores": str(plan.cores),
        "heap": f"{plan.heap_mib}m",
        "overhead": f"{plan.overhead_mib}m",
        "driver-heap": f"{driver_heap_mib}m",
        "fraction": str(plan.memory.fraction),
        "storage-fraction": str(plan.memory.storage_fraction),
        "parallelism": str(plan.partitions),
    }
    found = {TABLE[name].on(platform): value for name, value in values.items()}
    return {name: value for name, value in found.items() if name}


def plan_from(platform: Platform, parameters: Mapping[str, str]) -> dict[str, str]:
    """The values of a platform's parameters by our names, whatever their order; unknown parameters are left out."""
    names = {row.on(platform): name for name, row in TABLE.items()}
    return {names[key]: value for key, value in parameters.items() if key in names}


def converted(parameters: Mapping[str, str], *, source: Platform, target: Platform) -> dict[str, str]:
    """Parameters of one platform in the words of another.

    :raises ComponentError: for a parameter that the other platform does not have.
    """
    found: dict[str, str] = {}
    for name, value in plan_from(source, parameters).items():
        there = TABLE[name].on(target)
        if there is None:
            raise ComponentError(f"{TABLE[name].on(source)}: {target} has no such parameter; leave it out")
        found[there] = value
    return found


def as_table() -> str:
    """The table in Markdown."""
    lines = ["| | on premises (YARN) | EMR | Kubernetes |", "|---|---|---|---|"]
    for row in TABLE.values():
        cells = [f"`{name}`" if name else "none" for name in (row.on_premise, row.emr, row.eks)]
        lines.append(f"| {row.meaning} | {' | '.join(cells)} |")
    return "\n".join(lines)
