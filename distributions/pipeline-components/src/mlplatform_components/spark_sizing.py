"""How many executors, and how large, so that all data of a Spark job stays in memory.

Data that does not fit is evicted and computed or read again for every pass, which makes iterative jobs many times
slower.

https://spark.apache.org/docs/latest/tuning.html#memory-management-overview divides the memory of an executor:

    pod = heap + overhead                      overhead: 10 % of the heap, at least 384 MiB
    unified = (heap - 300 MiB) * fraction      spark.memory.fraction, 0.6
    protected = unified * storage_fraction     spark.memory.storageFraction, 0.5

Cached data may borrow all of the unified memory, but running tasks take back what is above the protected part. So a
plan counts on the protected part alone.
"""

import math
from dataclasses import dataclass

from mlplatform_components.errors import ComponentError

RESERVED_MIB = 300
"""What Spark reserves for itself in each heap."""
MIN_HEAP_MIB = 450
"""Spark refuses a smaller heap: one and a half of what it reserves."""
MIN_OVERHEAD_MIB = 384
OVERHEAD_FACTOR = 0.1
_MIB = 1 << 20

CACHED_BYTES_PER_INPUT_BYTE = {
    "csv": 0.42,
    "csv.gz": 0.90,
    "json": 0.33,
    "parquet": 1.0,
}
"""Bytes in Spark's columnar cache for each byte of input.

``examples/spark/measure_overhead.py`` measured them with Spark 4.0.1 on random numbers, which compress badly. Measure
a sample of your own data with :func:`measured_overhead`: text compresses better, and tables of objects (RDDs) take
several times more.
"""


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """How Spark divides its heap.

    :param fraction: ``spark.memory.fraction``. Default: 0.6.
    :param storage_fraction: ``spark.memory.storageFraction``. Default: 0.5.
    :raises ComponentError: for fractions that Spark refuses.
    """

    fraction: float = 0.6
    storage_fraction: float = 0.5

    def __post_init__(self) -> None:
        for name in ("fraction", "storage_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ComponentError(f"{name}: must be between 0 and 1, got {getattr(self, name)}")

    def unified_mib(self, heap_mib: int) -> float:
        """Memory of an executor for execution and storage together."""
        return max(heap_mib - RESERVED_MIB, 0) * self.fraction

    def protected_mib(self, heap_mib: int) -> float:
        """Memory of an executor from which execution never evicts cached data."""
        return self.unified_mib(heap_mib) * self.storage_fraction


@dataclass(frozen=True, kw_only=True)
class ExecutorPlan:
    """Executors for a job.

    :param executors: how many.
    :param cores: of each.
    :param heap_mib: of each: ``spark.executor.memory``.
    :param partitions: of the data: ``spark.sql.files.maxPartitionBytes`` and ``spark.default.parallelism`` follow.
    :param input_mib: size of the input.
    :param cached_mib: size of the data in memory.
    :param memory: how Spark divides its heap.
    """

    executors: int
    cores: int
    heap_mib: int
    partitions: int
    input_mib: float
    cached_mib: float
    memory: MemorySettings

    @property
    def overhead_mib(self) -> int:
        """Memory of a pod beyond the heap."""
        return max(MIN_OVERHEAD_MIB, math.ceil(self.heap_mib * OVERHEAD_FACTOR))

    @property
    def pod_mib(self) -> int:
        """Memory of a pod."""
        return self.heap_mib + self.overhead_mib

    @property
    def protected_mib(self) -> float:
        """Memory of all executors from which cached data is never evicted."""
        return self.executors * self.memory.protected_mib(self.heap_mib)

    @property
    def settings(self) -> dict[str, str]:
        """The properties of Spark that the plan relies on."""
        return {
            "spark.executor.instances": str(self.executors),
            "spark.executor.cores": str(self.cores),
            "spark.executor.memory": f"{self.heap_mib}m",
            "spark.executor.memoryOverhead": f"{self.overhead_mib}m",
            "spark.memory.fraction": str(self.memory.fraction),
            "spark.memory.storageFraction": str(self.memory.storage_fraction),
            "spark.default.parallelism": str(self.partitions),
            "spark.sql.files.maxPartitionBytes": f"{max(1, math.floor(self.input_mib / self.partitions * 1024))}k",
        }


def measured_overhead(*, cached_bytes: int, input_bytes: int) -> float:
    """Bytes in memory for each byte of input, from a cached sample.

    :param cached_bytes: of the sample: ``memoryUsed`` in Spark's REST API, or "Size in Memory" in its UI.
    :param input_bytes: of the sample's files.
    :raises ComponentError: for a sample that is empty or not cached.
    """
    if cached_bytes < 1 or input_bytes < 1:
        raise ComponentError(f"sample: must not be empty, got {cached_bytes} cached of {input_bytes} bytes")
    return cached_bytes / input_bytes


def size_executors(
    *,
    input_bytes: int,
    data_format: str = "parquet",
    overhead: float | None = None,
    heap_mib: int = 8192,
    cores: int = 4,
    memory: MemorySettings | None = None,
    headroom: float = 1.2,
    max_partition_mib: int = 128,
) -> ExecutorPlan:
    """The fewest executors of a size in whose protected memory all data fits.

    :param input_bytes: size of the input files.
    :param data_format: ``csv``, ``csv.gz``, ``json`` or ``parquet``; with ``overhead``, anything. Default: ``parquet``.
    :param overhead: bytes in memory for each byte of input. Default: the measured figure of the format.
    :param heap_mib: of an executor. Default: 8192.
    :param cores: of an executor. Default: 4.
    :param memory: how Spark divides its heap. Default: as Spark does.
    :param headroom: spare memory for executors that get more than their share. Default: 1.2.
    :param max_partition_mib: of input in a partition. Default: 128, as Spark does.
    :raises ComponentError: for an unknown format, or executors that cannot hold one partition.
    """
    settings = memory or MemorySettings()
    if overhead is None:
        if data_format not in CACHED_BYTES_PER_INPUT_BYTE:
            known = ", ".join(CACHED_BYTES_PER_INPUT_BYTE)
            raise ComponentError(f"data_format: must be one of {known}, got {data_format!r}; or give overhead")
        overhead = CACHED_BYTES_PER_INPUT_BYTE[data_format]
    for name, value, least in (
        ("input_bytes", input_bytes, 1),
        ("heap_mib", heap_mib, MIN_HEAP_MIB),
        ("cores", cores, 1),
        ("headroom", headroom, 1),
        ("max_partition_mib", max_partition_mib, 1),
    ):
        if value < least:
            raise ComponentError(f"{name}: must be {least} or more, got {value}")
    if overhead <= 0:
        raise ComponentError(f"overhead: must be more than 0, got {overhead}")
    input_mib = input_bytes / _MIB
    cached_mib = input_mib * overhead
    capacity = settings.protected_mib(heap_mib)
    executors = max(1, math.ceil(cached_mib * headroom / capacity))
    while True:
        # Several partitions for each core even out their sizes; an executor holds at most one more than others.
        partitions = max(math.ceil(input_mib / max_partition_mib), 3 * cores * executors)
        largest = math.ceil(partitions / executors) * (cached_mib / partitions)
        if largest <= capacity:
            return ExecutorPlan(
                executors=executors,
                cores=cores,
                heap_mib=heap_mib,
                partitions=partitions,
                input_mib=input_mib,
                cached_mib=cached_mib,
                memory=settings,
            )
        executors += 1
