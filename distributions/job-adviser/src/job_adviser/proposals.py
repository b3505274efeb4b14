"""Proposes to compress, convert, partition, merge or split data before a job, and estimates what that saves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from job_adviser.dataset import SMALL_BYTES, SPLIT_BYTES, Dataset
from job_adviser.errors import InvalidRequest
from job_adviser.estimate import GIB, Estimate, Estimator, Job
from job_adviser.formats import COLUMNAR, LINES, TABULAR, Kind
from job_adviser.ranges import Range

_MANY_SMALL = 1000
_UNSPLITTABLE_BYTES = 1 * GIB
_PARQUET = Kind("parquet")
_READ_OF_COLUMNS = 0.5
"""Share of the columns that a job reads, where a columnar format lets it leave out the rest."""
_READ_OF_PARTITIONS = 0.5
"""Share of the partitions that a job reads, if a column selects them."""
_PREPARED_BYTES_A_SECOND = 8e6
"""What one function of the preparation job reads, decompressed."""
_FUNCTIONS = 40
_FUNCTION_GIB = 2.0


@dataclass(frozen=True)
class Thresholds:
    """What counts as much.

    :param large_gib: size in GiB from which on compression, conversion and partitioning are proposed.
    :param small_objects: number of objects below 16 MiB from which on merging is proposed.
    """

    large_gib: float = 10.0
    small_objects: int = _MANY_SMALL

    def __post_init__(self) -> None:
        if self.large_gib <= 0 or self.small_objects < 1:
            raise InvalidRequest(f"thresholds: must be above 0, got {self}")


@dataclass(frozen=True)
class Proposal:
    """A preparation of the data.

    :param action: ``compress``, ``convert``, ``partition``, ``merge`` or ``split``.
    :param saves_seconds: time that each later run saves on the fastest backend, with the same instances as before.
    :param saves_dollars: cost that each later run saves on the cheapest backend, with these or with fewer instances.
    :param saves_storage: dollars a month for storage, if the original is deleted; negative if it costs more.
    :param takes_seconds: time of the preparation.
    :param costs: dollars for the preparation.
    :param runnable: whether the preparation job can do it.
    """

    action: str
    why: str
    saves_seconds: Range
    saves_dollars: Range
    saves_storage: float
    takes_seconds: Range
    costs: Range
    runnable: bool


def proposals(
    dataset: Dataset, job: Job, estimator: Estimator, thresholds: Thresholds | None = None
) -> tuple[Proposal, ...]:
    """What is worth doing first; the largest saving of time is the first."""
    limits = thresholds or Thresholds()
    before = _of_cloud(estimator.all(dataset, job))
    found = []
    for action, why, after in _changes(dataset, limits):
        fastest, cheapest = min(before, key=_time), min(before, key=_cost)
        same = [
            estimator.one(after, job, estimator.places[each.backend], instances=each.instances)
            for each in (fastest, cheapest)
        ]
        fewer = estimator.one(after, job, estimator.places[cheapest.backend])
        seconds = _difference(fastest.run, same[0].run)
        dollars = _difference(cheapest.cost, min(same[1], fewer, key=_cost).cost)
        if seconds.expected <= 0 and dollars.expected <= 0 and after.bytes >= dataset.bytes:
            continue
        takes = preparation_seconds(dataset)
        found.append(
            Proposal(
                action=action,
                why=why,
                saves_seconds=seconds,
                saves_dollars=dollars,
                saves_storage=(dataset.bytes - after.bytes) / GIB * estimator.prices.storage_gib_month,
                takes_seconds=takes,
                costs=preparation_cost(dataset, estimator),
                runnable=_is_runnable(action, dataset),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.saves_seconds.expected, each.action)))


def preparation_seconds(dataset: Dataset) -> Range:
    """Time of the preparation job."""
    working = max(1, min(_FUNCTIONS, dataset.splits))
    return Range.exactly(dataset.expanded_bytes / _PREPARED_BYTES_A_SECOND / working + 15).spread(2.0)


def preparation_cost(dataset: Dataset, estimator: Estimator) -> Range:
    """Dollars for the functions of the preparation job."""
    seconds = dataset.expanded_bytes / _PREPARED_BYTES_A_SECOND
    return Range.exactly(seconds * _FUNCTION_GIB * estimator.prices.function_gib_second).spread(2.0)


def _changes(dataset: Dataset, limits: Thresholds) -> list[tuple[str, str, Dataset]]:
    """Actions with the dataset after each."""
    kind = dataset.kind
    found: list[tuple[str, str, Dataset]] = []
    large = dataset.bytes >= limits.large_gib * GIB
    size = f"{dataset.bytes / GIB:.1f} GiB"
    readable = [each.compressibility for each in dataset.probes if not each.problem]
    ratio = max(1.0, sum(readable) / len(readable)) if readable else 4.0
    if large and not kind.compression and kind.format in LINES and ratio > 1.2:
        stored = round(dataset.bytes / ratio)
        parts = max(1, math.ceil(dataset.bytes / SPLIT_BYTES))  # gzip has one reader an object, so these stay as many
        kinds = {Kind(kind.format, "gzip"): (parts, stored)}
        why = f"{size} of {kind} are not compressed; a sample became {ratio:.1f} times smaller"
        found.append(("compress", why, replace(dataset, bytes=stored, objects=parts, splits=parts, kinds=kinds)))
    if large and kind.format in TABULAR:
        content = dataset.expanded_bytes
        stored = round(content / _PARQUET.expansion)
        after = replace(
            dataset,
            bytes=round(stored * _READ_OF_COLUMNS),
            expanded_bytes=content * _READ_OF_COLUMNS,
            objects=max(1, math.ceil(stored / SPLIT_BYTES)),
            splits=max(1, math.ceil(stored / SPLIT_BYTES)),
            kinds={_PARQUET: (max(1, math.ceil(stored / SPLIT_BYTES)), stored)},
        )
        why = f"{size} of {kind} are read whole; Parquet lets a job read the columns that it uses"
        found.append(("convert", why, after))
    if large and not dataset.partitions and (kind.format in TABULAR or kind.format in COLUMNAR):
        after = replace(
            dataset,
            bytes=round(dataset.bytes * _READ_OF_PARTITIONS),
            expanded_bytes=dataset.expanded_bytes * _READ_OF_PARTITIONS,
            splits=max(1, round(dataset.splits * _READ_OF_PARTITIONS)),
        )
        why = f"{size} have no partitions; with a column in the path, a job reads the values that it needs"
        found.append(("partition", why, after))
    if dataset.small_objects >= limits.small_objects and dataset.mean_bytes < SMALL_BYTES:
        objects = max(1, math.ceil(dataset.bytes / SPLIT_BYTES))
        after = replace(dataset, objects=objects, small_objects=0, splits=max(objects, 1))
        why = f"{dataset.small_objects} of {dataset.objects} objects are smaller than 16 MiB; each costs a request"
        found.append(("merge", why, after))
    if dataset.largest_bytes >= _UNSPLITTABLE_BYTES and not kind.splittable and kind.compression:
        parts = max(1, math.ceil(dataset.bytes / SPLIT_BYTES))
        why = f"the largest object has {dataset.largest_bytes / GIB:.1f} GiB, and {kind} has one reader an object"
        found.append(("split", why, replace(dataset, objects=parts, splits=parts)))
    return found


def _is_runnable(action: str, dataset: Dataset) -> bool:
    kind = dataset.kind
    if kind.compression not in ("", "gzip", "bgzip", "bzip2"):
        return False
    return kind.format in (TABULAR if action in ("convert", "partition") else LINES)


def _of_cloud(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Those that cost money, or all if there is no other."""
    return [each for each in estimates if each.instance] or list(estimates)


def _time(estimate: Estimate) -> float:
    return estimate.run.expected


def _cost(estimate: Estimate) -> float:
    return estimate.cost.expected


def _difference(before: Range, after: Range) -> Range:
    """What is saved, at least 0; the uncertainty of the model is the same before and after."""
    values = sorted(
        max(0.0, one - other)
        for one, other in ((before.low, after.low), (before.expected, after.expected), (before.high, after.high))
    )
    return Range(values[0], values[1], values[2])
