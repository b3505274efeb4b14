"""Learns from recorded runs: how much longer jobs take than the model says, and how sure that is."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from job_adviser.ranges import Range

DEFAULT_SPREAD = 2.0
"""Without runs, a job takes between half and twice the expected time, in about four of five cases."""
FEWEST_RUNS = 4
_QUANTILE = 1.3
"""Four of five values of a normal distribution lie within this many standard deviations."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that ended.

    :param backend: where it ran.
    :param modelled_seconds: what the model without calibration expected.
    :param seconds: what it took.
    """

    backend: str
    modelled_seconds: float
    seconds: float

    def __post_init__(self) -> None:
        if not (self.modelled_seconds > 0 and self.seconds > 0):
            raise ValueError(f"the times of a run must be above 0, got {self}")


@dataclass(frozen=True)
class Calibration:
    """A factor for the modelled time, and the factor between expected and high.

    :param runs: number of runs behind it.
    """

    factor: float = 1.0
    spread: float = DEFAULT_SPREAD
    runs: int = 0

    @classmethod
    def of(cls, runs: Iterable[RecordedRun], backend: str) -> "Calibration":
        """By the runs of one backend; the default if these are fewer than four."""
        logs = [math.log(run.seconds / run.modelled_seconds) for run in runs if run.backend == backend]
        if len(logs) < FEWEST_RUNS:
            return cls(runs=len(logs))
        deviation = statistics.stdev(logs) * math.sqrt(1 + 1 / len(logs))
        few = 1 + 2 / len(logs)  # about what Student's distribution adds for few runs
        return cls(math.exp(statistics.fmean(logs)), max(1.1, math.exp(_QUANTILE * few * deviation)), len(logs))

    def applied(self, seconds: float) -> Range:
        return Range.exactly(seconds * self.factor).spread(self.spread)


@dataclass(frozen=True)
class Error:
    """How well runs would have been estimated from the others.

    :param median: median of the relative error; 0.2 is 20 %.
    :param within: share of the runs whose time was inside of the range.
    """

    median: float
    within: float


def cross_validated(runs: Sequence[RecordedRun], backend: str) -> Error:
    """Estimate each run of a backend from the other ones.

    :raises ValueError: for fewer than five runs, one more than a calibration needs.
    """
    own = [run for run in runs if run.backend == backend]
    if len(own) <= FEWEST_RUNS:
        raise ValueError(f"{backend}: needs {FEWEST_RUNS + 1} runs, got {len(own)}")
    errors, inside = [], 0
    for number, run in enumerate(own):
        found = Calibration.of([*own[:number], *own[number + 1 :]], backend).applied(run.modelled_seconds)
        errors.append(abs(found.expected - run.seconds) / run.seconds)
        inside += run.seconds in found
    return Error(statistics.median(errors), inside / len(own))
