"""How long the phases of a tree analysis on Spark take, estimated from recorded runs.

The phases are those of VariantSpark in the Spark UI: executors start, rows get an index, the data is loaded into
memory, trees grow. Each has its own driver: nothing, the input, the input, and trees times input. Time of the last
three falls with the number of cores.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform_components.errors import ComponentError

PHASES = ("executors", "index", "load", "trees")
SPILL_FACTOR = (30, 50)
"""How much slower loading becomes if the data does not fit into memory, as measured for VariantSpark."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What decides how long a job takes.

    :param input_bytes: size of the input.
    :param trees: of the forest.
    :param cores: of all executors.
    :raises ComponentError: for numbers below 1.
    """

    input_bytes: int
    trees: int
    cores: int

    def __post_init__(self) -> None:
        for name in ("input_bytes", "trees", "cores"):
            if getattr(self, name) < 1:
                raise ComponentError(f"{name}: must be 1 or more, got {getattr(self, name)}")

    def work(self, phase: str) -> float:
        """The quantity that the time of a phase grows with, in addition to its fixed part."""
        gigabytes = self.input_bytes / 1e9 / self.cores
        return {"executors": 0.0, "index": gigabytes, "load": gigabytes, "trees": gigabytes * self.trees}[phase]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A recorded run.

    :param job: what ran.
    :param seconds: by phase.
    """

    job: Job
    seconds: Mapping[str, float]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Run":
        """A run as ``examples/spark/trees.py`` reports it, with ``bytes``, ``trees`` and ``cores``."""
        job = Job(input_bytes=int(values["bytes"]), trees=int(values["trees"]), cores=int(values["cores"]))
        return cls(job=job, seconds={phase: float(values["seconds"][phase]) for phase in PHASES})


@dataclass(frozen=True)
class Estimate:
    """Seconds of a job by phase, if all data fits into memory.

    :param seconds: by phase.
    :param error: mean share by which the model missed the whole time of recorded runs that it had not seen.
    """

    seconds: Mapping[str, float]
    error: float

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    @property
    def with_spill(self) -> tuple[float, float]:
        """Least and most seconds of all phases if the data does not fit into memory."""
        others = self.total - self.seconds["load"]
        least, most = (others + self.seconds["load"] * factor for factor in SPILL_FACTOR)
        return least, most


class PhaseModel:
    """A straight line for each phase, which never falls with more input or trees.

    :param runs: recorded on the platform that is to be estimated.
    :raises ComponentError: for fewer than three runs.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs: Sequence[Run] = tuple(runs)
        if len(self.runs) < 3:
            raise ComponentError(f"runs: three or more are needed, got {len(self.runs)}; record some")
        self._lines = {phase: _line(self.runs, phase) for phase in PHASES}
        self.error = _error_on_unseen(self.runs)
        """Mean share by which the model missed the whole time of recorded runs that it had not seen."""

    @classmethod
    def read(cls, file: Path | str) -> "PhaseModel":
        """From a JSON list of runs."""
        return cls(map(Run.from_dict, json.loads(Path(file).read_text(encoding="utf-8"))))

    def estimate(self, job: Job) -> Estimate:
        """Seconds of a job."""
        return Estimate({phase: line(job.work(phase)) for phase, line in self._lines.items()}, self.error)


def _line(runs: Sequence[Run], phase: str) -> Callable[[float], float]:
    """The line of least squares with a slope and a fixed part that are not negative."""
    points = [(run.job.work(phase), run.seconds[phase]) for run in runs]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = max(0.0, sum((x - mean_x) * (y - mean_y) for x, y in points) / spread) if spread else 0.0
    fixed = mean_y - slope * mean_x
    if fixed < 0:  # then through the origin
        fixed, slope = 0.0, sum(x * y for x, y in points) / sum(x * x for x, _ in points)
    return lambda work: fixed + slope * work


def _error_on_unseen(runs: Sequence[Run]) -> float:
    """Each run is estimated from the others."""
    missed = []
    for left_out in runs:
        lines = {phase: _line([run for run in runs if run is not left_out], phase) for phase in PHASES}
        estimated = sum(line(left_out.job.work(phase)) for phase, line in lines.items())
        real = sum(left_out.seconds[phase] for phase in PHASES)
        missed.append(abs(estimated - real) / real)
    return sum(missed) / len(missed)
