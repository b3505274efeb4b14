"""What the adviser knows of data in S3, in memory that does not grow with the number of objects."""

import heapq
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from job_adviser.formats import Kind, kind_of_name, partitions_of

SPLIT_BYTES = 128 * 1024**2
"""What one task of Spark reads: https://spark.apache.org/docs/latest/sql-performance-tuning.html"""
SMALL_BYTES = 16 * 1024**2
STATE = "_preparation"
"""Folder below an output of the preparation job, for the plan and for what is done."""
_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_MOST_VALUES = 1000
_SAMPLES = 4


@dataclass(frozen=True)
class Probe:
    """What reading the beginning of one object shows.

    :param problem: why no job could read it; empty for a readable one.
    :param compressibility: ratio of the beginning to the same compressed with gzip; 1 for what is compressed already.
    :param columns: names in the first line of a table with a header.
    """

    key: str
    kind: Kind
    encryption: str = ""
    problem: str = ""
    compressibility: float = 1.0
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Facts about the objects below a prefix. Sizes are stored sizes in bytes.

    :param objects: number of objects with content.
    :param splits: number of tasks that can read at the same time.
    :param expanded_bytes: size of the content, decompressed.
    :param partitions: column to its number of different values; 1000 stands for 1000 or more.
    :param error: relative standard error of the numbers: 0 where every object was counted.
    :param at_least: the listing ended before the last object, so the numbers are lower bounds.
    :param probes: the objects that were read for a test.
    """

    uri: str
    objects: int
    bytes: int
    splits: int
    expanded_bytes: float
    largest_key: str = ""
    largest_bytes: int = 0
    small_objects: int = 0
    empty_objects: int = 0
    archived_objects: int = 0
    kinds: Mapping[Kind, tuple[int, int]] = field(default_factory=dict)
    partitions: Mapping[str, int] = field(default_factory=dict)
    error: float = 0.0
    at_least: bool = False
    probes: tuple[Probe, ...] = ()

    @property
    def kind(self) -> Kind:
        """The kind that most bytes have."""
        if not self.kinds:
            return Kind("unknown")
        return max(self.kinds, key=lambda kind: (self.kinds[kind][1], self.kinds[kind][0], kind))

    @property
    def mean_bytes(self) -> float:
        return self.bytes / self.objects if self.objects else 0.0


@dataclass
class Tally:
    """Counts objects one at a time, or tallies of parts of them."""

    objects: int = 0
    bytes: int = 0
    splits: int = 0
    expanded_bytes: float = 0.0
    largest: tuple[int, str] = (0, "")
    small_objects: int = 0
    empty_objects: int = 0
    archived_objects: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    kind_bytes: Counter[Kind] = field(default_factory=Counter)
    values: dict[str, set[str]] = field(default_factory=dict)
    partitioned: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[int, str]] = field(default_factory=list)

    def add(self, key: str, size: int, storage_class: str = "STANDARD") -> None:
        """Count an object. Markers of folders, and what jobs write about themselves, do not count."""
        if key.endswith("/_SUCCESS") or f"/{STATE}/" in key:
            return
        if size == 0:
            self.empty_objects += not key.endswith("/")
            return
        kind = kind_of_name(key)
        self.objects += 1
        self.bytes += size
        self.splits += math.ceil(size / SPLIT_BYTES) if kind.splittable else 1
        self.expanded_bytes += size * kind.expansion
        self.largest = max(self.largest, (size, key))
        self.small_objects += size < SMALL_BYTES
        self.archived_objects += storage_class in _ARCHIVED
        self.kinds[kind] += 1
        self.kind_bytes[kind] += size
        for name, value in partitions_of(key):
            self.partitioned[name] += 1
            known = self.values.setdefault(name, set()) if len(self.values) < 32 or name in self.values else set()
            if len(known) < _MOST_VALUES:
                known.add(value)
        if storage_class not in _ARCHIVED:
            self._sample(key)

    def merge(self, other: "Tally") -> None:
        for name in ("objects", "bytes", "splits", "expanded_bytes", "small_objects", "empty_objects"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.archived_objects += other.archived_objects
        self.largest = max(self.largest, other.largest)
        self.kinds += other.kinds
        self.kind_bytes += other.kind_bytes
        self.partitioned += other.partitioned
        for name, values in other.values.items():
            mine = self.values.setdefault(name, set())
            mine |= set(sorted(values)[: max(0, _MOST_VALUES - len(mine))])
        for _, key in other.samples:
            self._sample(key)

    def keys_to_probe(self) -> list[str]:
        """The largest object, and a few others that depend on the keys only, not on their order."""
        chosen = [self.largest[1], *(key for _, key in sorted(self.samples, reverse=True))]
        return list(dict.fromkeys(key for key in chosen if key))

    def dataset(self, uri: str, *, scale: float = 1.0, error: float = 0.0, at_least: bool = False) -> Dataset:
        """The facts, extrapolated by ``scale`` where a part of the objects was counted."""

        def scaled(value: float) -> int:
            return round(value * scale)

        return Dataset(
            uri=uri,
            objects=scaled(self.objects),
            bytes=scaled(self.bytes),
            splits=scaled(self.splits),
            expanded_bytes=self.expanded_bytes * scale,
            largest_key=self.largest[1],
            largest_bytes=self.largest[0],
            small_objects=scaled(self.small_objects),
            empty_objects=scaled(self.empty_objects),
            archived_objects=scaled(self.archived_objects),
            kinds={kind: (scaled(count), scaled(self.kind_bytes[kind])) for kind, count in self.kinds.items()},
            partitions={name: len(values) for name, values in sorted(self.values.items()) if self._is_in_all(name)},
            error=error,
            at_least=at_least,
        )

    def _is_in_all(self, name: str) -> bool:
        return self.partitioned[name] == self.objects

    def _sample(self, key: str) -> None:
        ranked = (zlib.crc32(key.encode("utf-8", "surrogatepass")), key)
        if ranked in self.samples:
            return
        if len(self.samples) < _SAMPLES:
            heapq.heappush(self.samples, ranked)
        else:
            heapq.heappushpop(self.samples, ranked)


def tally(objects: Iterable[tuple[str, int]]) -> Tally:
    """A tally of keys and sizes."""
    found = Tally()
    for key, size in objects:
        found.add(key, size)
    return found
