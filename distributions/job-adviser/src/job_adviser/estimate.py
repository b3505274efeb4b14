"""Estimates a job on each backend: time to prepare, time to run, cost.

The time to run is the longer of computing, on the processors that can work at the same time, and reading over the
network; opening the objects comes on top. If data must be cached and does not fit into memory, it is 30 to 50 times as
long.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any

from job_adviser.calibration import Calibration, RecordedRun
from job_adviser.dataset import Dataset
from job_adviser.errors import InvalidRequest
from job_adviser.prices import Mix, Prices
from job_adviser.ranges import Range

GIB = 1024**3
_OPEN_SECONDS = 0.05
"""To open an object: two requests of S3."""
_USABLE_MEMORY = 0.54
"""Of an instance's memory for cached data: nine tenths for the executor, six tenths of that for Spark.
https://spark.apache.org/docs/latest/tuning.html#memory-management-overview"""
_SPILL = (30.0, 40.0, 50.0)
"""Times slower where cached data spills to disk."""
_SPOT_REPEATED = 0.1
"""Share of the work of spot instances that interruptions repeat in a bad case."""
_MOST_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Job:
    """What is to be done with the data.

    :param cpu_seconds_per_gib: processor time for each GiB of decompressed content and pass. Default: 40, a scan with a
        few expressions; decision trees take 100 to 1000.
    :param passes: how often the content is read. Default: 1.
    :param in_memory: whether the content must be cached, as iterating algorithms need it. Default: no.
    :param memory_expansion: size in memory for each byte of content. Default: 3, of Java objects.
    :param target_minutes: the time to run for which the number of instances is chosen. Default: 60.
    """

    cpu_seconds_per_gib: float = 40.0
    passes: int = 1
    in_memory: bool = False
    memory_expansion: float = 3.0
    target_minutes: float = 60.0

    def __post_init__(self) -> None:
        for name, most in {
            "cpu_seconds_per_gib": 1e6,
            "passes": 1e6,
            "memory_expansion": 100,
            "target_minutes": 43200,
        }.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
                raise InvalidRequest(f"job.{name}: must be a number above 0, at most {most:g}, got {value!r}")
        if not isinstance(self.in_memory, bool):
            raise InvalidRequest(f"job.in_memory: must be true or false, got {self.in_memory!r}")

    @classmethod
    def parse(cls, value: object) -> "Job":
        """:raises InvalidRequest: for an unknown key or a value out of range."""
        return cls(**keys_of(value, "job", [each.name for each in fields(cls)]))


def keys_of(value: object, place: str, known: Sequence[str]) -> dict[str, Any]:
    """A JSON object of known keys.

    :raises InvalidRequest: for anything else.
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place}: must be an object, got {value!r}")
    if unknown := [key for key in value if key not in known]:
        raise InvalidRequest(f"{place}.{unknown[0]}: unknown; there are: {', '.join(known)}")
    return value


@dataclass(frozen=True)
class LocalMachine:
    """The machine of the notebook.

    :param network_mbps: speed of its connection to S3, in megabits a second.
    """

    vcpus: float = 4
    memory_gib: float = 16
    network_mbps: float = 1000

    @classmethod
    def parse(cls, value: object) -> "LocalMachine":
        """:raises InvalidRequest: for an unknown key, or a number that is not above 0."""
        found = keys_of(value, "local", [each.name for each in fields(cls)])
        for name, number in found.items():
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= 1e6:
                raise InvalidRequest(f"local.{name}: must be a number above 0, got {number!r}")
        return cls(**found)


@dataclass(frozen=True)
class Backend:
    """A place where jobs run: a row of ``data/backends.toml``.

    :param mix: how its instances are paid. None for the local machine.
    """

    name: str
    title: str
    prepare_seconds: Range
    startup_seconds: float
    bills_preparation: bool
    source: str
    instance: str = ""
    most_instances: int = 1
    mix: Mix | None = None


def backends() -> dict[str, Backend]:
    """The shipped table."""
    found = tomllib.loads((files("job_adviser") / "data" / "backends.toml").read_text(encoding="utf-8"))
    return {
        name: Backend(
            name=name,
            **{key: value for key, value in row.items() if key not in ("prepare_seconds", "mix")},
            prepare_seconds=Range(*row["prepare_seconds"]),
            mix=Mix(**row["mix"]) if "mix" in row else None,
        )
        for name, row in found.items()
        if isinstance(row, dict)
    }


@dataclass(frozen=True)
class Estimate:
    """One backend. Times are in seconds, the cost in dollars.

    :param fits_in_memory: false if data that the job caches would spill to disk.
    :param notes: what makes the estimate larger or less sure.
    """

    backend: str
    title: str
    instances: int
    instance: str
    prepare: Range
    run: Range
    cost: Range
    fits_in_memory: bool = True
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Range:
        return self.prepare + self.run


@dataclass(frozen=True)
class Estimator:
    """Estimates jobs.

    :param prices: Default: the shipped table.
    :param runs: recorded runs, which correct the model. Default: none.
    """

    prices: Prices = field(default_factory=Prices.load)
    places: Mapping[str, Backend] = field(default_factory=backends)
    runs: tuple[RecordedRun, ...] = ()
    local: LocalMachine = LocalMachine()

    def all(self, dataset: Dataset, job: Job, only: Iterable[str] | None = None) -> tuple[Estimate, ...]:
        """Each backend, in the order of the table.

        :param only: names of backends. Default: all.
        :raises InvalidRequest: for an unknown backend.
        """
        names = list(only) if only is not None else list(self.places)
        if unknown := [name for name in names if name not in self.places]:
            raise InvalidRequest(f"backends: no {unknown[0]!r}; there are: {', '.join(self.places)}")
        return tuple(self.one(dataset, job, self.places[name]) for name in names)

    def one(self, dataset: Dataset, job: Job, place: Backend, *, instances: int | None = None) -> Estimate:
        """One backend.

        :param instances: their number. Default: chosen for the job's time and memory.
        """
        if place.instance:
            instance = self.prices.instance(place.instance)
            vcpus, memory, network = float(instance.vcpus), instance.memory_gib, instance.network_mbps
        else:
            vcpus, memory, network = self.local.vcpus, self.local.memory_gib, self.local.network_mbps
        needed = dataset.expanded_bytes * job.memory_expansion / GIB if job.in_memory else 0.0
        count = instances or self._instances(dataset, job, place, vcpus, memory * _USABLE_MEMORY, needed)
        fits = needed <= count * memory * _USABLE_MEMORY
        modelled = modelled_seconds(dataset, job, count, vcpus, network) + place.startup_seconds
        run = Calibration.of(self.runs, place.name).applied(modelled).spread(1 + dataset.error)
        notes = []
        if not fits:
            run = Range(run.low * _SPILL[0], run.expected * _SPILL[1], run.high * _SPILL[2])
            notes.append(f"{needed:.0f} GiB to cache do not fit into {count * memory * _USABLE_MEMORY:.0f} GiB")
        if dataset.splits < count * vcpus:
            notes.append(f"only {dataset.splits} of {count * vcpus:.0f} processors can read at the same time")
        if dataset.at_least:
            notes.append("a lower bound, because the listing did not reach the last object")
        if run.expected > _MOST_SECONDS:
            notes.append("longer than 30 days; prepare the data first")
        if place.mix and place.mix.spot:
            run = Range(run.low, run.expected, run.high * (1 + _SPOT_REPEATED * place.mix.spot))
        cost = self._cost(place, count, run)
        return Estimate(
            place.name, place.title, count, place.instance, place.prepare_seconds, run, cost, fits, tuple(notes)
        )

    @staticmethod
    def _instances(dataset: Dataset, job: Job, place: Backend, vcpus: float, memory: float, needed: float) -> int:
        work = _work(dataset, job) / vcpus + dataset.objects * _OPEN_SECONDS / vcpus
        for_time = math.ceil(min(work / (job.target_minutes * 60), 1e9))
        for_reading = math.ceil(dataset.splits / vcpus)  # more would idle
        return max(1, min(place.most_instances, max(math.ceil(needed / memory), min(for_time, for_reading))))

    def _cost(self, place: Backend, count: int, run: Range) -> Range:
        if not place.instance or place.mix is None:
            return Range.exactly(0.0)
        billed = run + place.prepare_seconds if place.bills_preparation else run
        instance = self.prices.instance(place.instance)
        hourly = Range.exactly(instance.sagemaker) if place.name == "sagemaker" else self._hourly(place, place.mix)
        hours = [count * max(60.0, seconds) / 3600 for seconds in (billed.low, billed.expected, billed.high)]
        return Range(hours[0] * hourly.low, hours[1] * hourly.expected, hours[2] * hourly.high)

    def _hourly(self, place: Backend, mix: Mix) -> Range:
        price = self.prices.hourly(place.instance, mix)
        added = self.prices.instance(place.instance).emr if place.name == "emr" else 0.0
        return price + Range.exactly(added)


def modelled_seconds(dataset: Dataset, job: Job, count: int, vcpus: float, network_mbps: float) -> float:
    """The model without calibration, startup and spilling."""
    working = max(1.0, min(count * vcpus, float(dataset.splits)))
    compute = _work(dataset, job) / working
    read = dataset.bytes * 8 / (network_mbps * 1e6 * count)
    opened = dataset.objects * _OPEN_SECONDS / (count * vcpus)
    return max(compute, read) + opened


def _work(dataset: Dataset, job: Job) -> float:
    """Processor seconds."""
    return dataset.expanded_bytes / GIB * job.cpu_seconds_per_gib * job.passes
