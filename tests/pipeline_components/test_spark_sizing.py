import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplatform_components import ComponentError
from mlplatform_components.spark_sizing import (
    CACHED_BYTES_PER_INPUT_BYTE,
    MemorySettings,
    measured_overhead,
    size_executors,
)

GIB = 1 << 30
inputs = st.integers(1, 20_000 * GIB)
overheads = st.floats(0.05, 20)
heaps = st.integers(1024, 64 * 1024)
fractions = st.builds(MemorySettings, fraction=st.floats(0.1, 0.9), storage_fraction=st.floats(0.1, 0.9))


@pytest.mark.promise("cached-executors")
@given(size=inputs, overhead=overheads, heap=heaps, cores=st.integers(1, 16), memory=fractions)
def test_all_data_fits_into_the_memory_from_which_nothing_is_evicted(
    size: int, overhead: float, heap: int, cores: int, memory: MemorySettings
) -> None:
    plan = size_executors(input_bytes=size, overhead=overhead, heap_mib=heap, cores=cores, memory=memory)
    assert plan.cached_mib == pytest.approx(size * overhead / (1 << 20))
    assert plan.cached_mib <= plan.protected_mib
    share = plan.cached_mib / plan.partitions
    assert math.ceil(plan.partitions / plan.executors) * share <= memory.protected_mib(heap) * (1 + 1e-9)


@pytest.mark.promise("cached-executors")
@given(size=inputs, overhead=overheads, heap=heaps)
def test_fewer_executors_would_leave_less_than_the_headroom(size: int, overhead: float, heap: int) -> None:
    plan = size_executors(input_bytes=size, overhead=overhead, heap_mib=heap, headroom=1.2)
    one_less = plan.protected_mib * (plan.executors - 1) / plan.executors
    assert one_less < plan.cached_mib * 1.2 or plan.executors == 1


@given(size=inputs, heap=heaps)
def test_more_data_never_needs_fewer_executors(size: int, heap: int) -> None:
    small, large = (size_executors(input_bytes=each, heap_mib=heap).executors for each in (size, 2 * size))
    assert small <= large


def test_a_pod_is_its_heap_and_the_memory_beyond_it() -> None:
    plan = size_executors(input_bytes=100 * GIB, heap_mib=8192)
    assert (plan.overhead_mib, plan.pod_mib) == (820, 9012)
    small = size_executors(input_bytes=GIB, heap_mib=1024)
    assert small.overhead_mib == 384
    assert plan.settings["spark.executor.memory"] == "8192m"
    assert plan.settings["spark.executor.instances"] == str(plan.executors)


def test_a_hundred_gigabytes_of_parquet_need_as_many_executors_as_the_formula_says() -> None:
    plan = size_executors(input_bytes=100 * GIB, overhead=2.0, heap_mib=8192, headroom=1.2)
    protected = (8192 - 300) * 0.6 * 0.5
    assert plan.executors == math.ceil(100 * 1024 * 2.0 * 1.2 / protected) == 104


def test_a_sample_gives_the_overhead_of_its_data() -> None:
    assert measured_overhead(cached_bytes=300, input_bytes=200) == 1.5
    assert set(CACHED_BYTES_PER_INPUT_BYTE) == {"csv", "csv.gz", "json", "parquet"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"input_bytes": 0}, "input_bytes: must be 1 or more, got 0"),
        ({"heap_mib": 449}, "heap_mib: must be 450 or more, got 449"),
        ({"cores": 0}, "cores: must be 1 or more"),
        ({"headroom": 0.9}, "headroom: must be 1 or more, got 0.9"),
        ({"overhead": 0.0}, "overhead: must be more than 0"),
        (
            {"data_format": "avro"},
            "data_format: must be one of csv, csv.gz, json, parquet, got 'avro'; or give overhead",
        ),
    ],
)
def test_refuses_a_job_that_cannot_be_sized(options: dict[str, object], problem: str) -> None:
    with pytest.raises(ComponentError, match=problem):
        size_executors(**{"input_bytes": GIB, **options})  # type: ignore[arg-type]


def test_refuses_fractions_that_spark_refuses() -> None:
    with pytest.raises(ComponentError, match="storage_fraction: must be between 0 and 1, got 1"):
        MemorySettings(storage_fraction=1)


def test_refuses_an_empty_sample() -> None:
    with pytest.raises(ComponentError, match="sample: must not be empty"):
        measured_overhead(cached_bytes=0, input_bytes=1)
