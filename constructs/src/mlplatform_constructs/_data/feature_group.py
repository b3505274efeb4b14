"""What a feature is: one typed definition for tables, queries, stream and processor. Plain Python, no AWS."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from .._arguments import ConfigurationError, check_fields

Aggregate = Literal["count", "sum", "mean", "min", "max"]
MeasureType = Literal["bigint", "double"]
FeatureType = Literal["string", "bigint", "double"]

AGGREGATES: tuple[Aggregate, ...] = ("count", "sum", "mean", "min", "max")
ADDITIVE: tuple[Aggregate, ...] = ("count", "sum", "mean")
MEASURE_TYPES: tuple[MeasureType, ...] = ("bigint", "double")
EVENT_PARTITION = "dt"
"""Day of arrival, UTC, such as 2026-07-13: partition of the events that a group keeps."""
FEATURE_PARTITION = "as_of"
"""End of the windows, UTC, such as 2026-07-13-06: partition of the offline features."""
MAX_BUCKETS = 1440
"""One read of an online feature adds up this many buckets at most: a day of minutes."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One number about an entity: an aggregate of one measure over the last ``window`` of event time.

    :param name: column and attribute, lower case, such as ``preparation_seconds_mean_7d``.
    :param aggregate: ``count``, ``sum``, ``mean``, ``min`` or ``max``; the last two offline only.
    :param of: the measure that is aggregated.
    :param window: how far back events count, in whole minutes.
    """

    name: str
    aggregate: Aggregate
    of: str
    window: timedelta

    def __post_init__(self) -> None:
        check_fields(self, f"feature {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class FeatureGroup:
    """Features of one kind of entity, computed from one kind of event, offline and online.

    An event is a JSON object that carries ``entity`` (text), ``event_id`` (text, unique within the entity: a second
    event of that id and time is a duplicate), ``event_time`` (whole milliseconds since 1970, UTC) and every measure.

    :param name: table, lower case, such as ``restaurant_preparation``.
    :param entity: field that names what the features are about, such as ``restaurant_id``.
    :param event_id: field that identifies an event, such as ``order_id``.
    :param event_time: field with the time of the event, such as ``ready_at``.
    :param measures: number fields of an event, each ``bigint`` or ``double``.
    :param offline: features recomputed every ``refresh`` into Parquet. Default: none.
    :param online: features that are current within ``freshness``, in DynamoDB. Default: none.
    :param refresh: interval of the offline features: 1, 2, 3, 4, 6, 8, 12 or 24 hours. Default: a day.
    :param freshness: how long an event may take from the stream into the online features; an alarm watches it, from
        one minute on. Default: 5 minutes.
    :param bucket: resolution of online windows: a window moves in steps of it. Default: a minute.
    :raises ConfigurationError: naming every field that cannot be, and the fix.
    """

    name: str
    entity: str
    event_id: str
    event_time: str
    measures: Mapping[str, MeasureType]
    offline: tuple[Feature, ...] = ()
    online: tuple[Feature, ...] = ()
    refresh: timedelta = field(default=timedelta(days=1))
    freshness: timedelta = field(default=timedelta(minutes=5))
    bucket: timedelta = field(default=timedelta(minutes=1))

    def __post_init__(self) -> None:
        check_fields(self, f"feature group {self.name!r}")
        mistakes = [*self._wrong_names(), *self._wrong_features(), *self._wrong_times()]
        if mistakes:
            raise ConfigurationError("\n".join(f"feature group {self.name!r}: {mistake}" for mistake in mistakes))

    @property
    def event_columns(self) -> dict[str, FeatureType]:
        """Columns of the events that the group keeps, as an event carries them, by Glue type."""
        return {self.entity: "string", self.event_id: "string", self.event_time: "bigint", **self.measures}

    @property
    def feature_columns(self) -> dict[str, FeatureType]:
        """Columns of the offline features, by Glue type."""
        return {self.entity: "string", **{feature.name: self.type_of(feature) for feature in self.offline}}

    @property
    def events_table(self) -> str:
        """Name of the table of kept events; the features' own table has the group's name."""
        return f"{self.name}_events"

    def type_of(self, feature: Feature) -> FeatureType:
        """The type of a feature: integer for a count, decimal for a mean, otherwise the type of the measure."""
        if feature.aggregate == "count":
            return "bigint"
        return "double" if feature.aggregate == "mean" else self.measures[feature.of]

    def to_spec(self) -> dict[str, Any]:
        """What the stream's processor and readers of online features have to know, as JSON."""
        return {
            "name": self.name,
            "entity": self.entity,
            "event_id": self.event_id,
            "event_time": self.event_time,
            "measures": dict(self.measures),
            "bucket_seconds": int(self.bucket.total_seconds()),
            "online": [
                {
                    "name": feature.name,
                    "aggregate": feature.aggregate,
                    "of": feature.of,
                    "window_seconds": int(feature.window.total_seconds()),
                }
                for feature in self.online
            ],
        }

    def _wrong_names(self) -> list[str]:
        fields = [self.entity, self.event_id, self.event_time, *self.measures]
        mistakes = [
            f"name {name!r} must be lower-case letters, digits and _, 63 at most, beginning with a letter"
            for name in [self.name, *fields, *(feature.name for feature in self.offline + self.online)]
            if not _NAME.fullmatch(name)
        ]
        for what, names, taken in (
            ("event", fields, EVENT_PARTITION),
            ("offline", [self.entity, *(feature.name for feature in self.offline)], FEATURE_PARTITION),
            ("online", [self.entity, *(feature.name for feature in self.online)], FEATURE_PARTITION),
        ):
            mistakes += [f"{what} name {name!r} is used twice; rename one" for name in _twice(names)]
            mistakes += [f"{what} name {taken!r} is the partition's; rename it"] if taken in names else []
        return mistakes

    def _wrong_features(self) -> list[str]:
        mistakes = [] if self.offline or self.online else ["has no features; give offline or online ones"]
        mistakes += [
            f"measure {name!r} must be {' or '.join(MEASURE_TYPES)}, got {type_!r}"
            for name, type_ in self.measures.items()
            if type_ not in MEASURE_TYPES
        ]
        for feature in self.offline + self.online:
            if feature.of not in self.measures:
                there = ", ".join(self.measures) or "none"
                mistakes.append(f"{feature.name}: of {feature.of!r} is not a measure; there are: {there}")
            if feature.aggregate not in AGGREGATES:
                mistakes.append(
                    f"{feature.name}: aggregate must be one of {', '.join(AGGREGATES)}, got {feature.aggregate!r}"
                )
        mistakes += [
            f"{feature.name}: aggregate {feature.aggregate!r} cannot be online, where buckets are only added to; "
            f"use one of {', '.join(ADDITIVE)}"
            for feature in self.online
            if feature.aggregate in AGGREGATES and feature.aggregate not in ADDITIVE
        ]
        return mistakes

    def _wrong_times(self) -> list[str]:
        minute = timedelta(minutes=1)
        mistakes = []
        hour = timedelta(hours=1)
        if self.refresh < hour or self.refresh % hour or timedelta(days=1) % self.refresh:
            mistakes.append(f"refresh must be 1, 2, 3, 4, 6, 8, 12 or 24 hours, got {self.refresh}")
        if self.freshness < minute:
            mistakes.append(f"freshness must be a minute or more, got {self.freshness}; metrics come by the minute")
        if self.bucket < minute or self.bucket % minute:
            return [*mistakes, f"bucket must be whole minutes, got {self.bucket}"]
        for feature in self.offline + self.online:
            if feature.window < minute or feature.window % minute:
                mistakes.append(f"{feature.name}: window must be whole minutes, got {feature.window}")
        for feature in self.online:
            if feature.window % self.bucket or feature.window > MAX_BUCKETS * self.bucket:
                mistakes.append(
                    f"{feature.name}: window must be 1 to {MAX_BUCKETS} times the bucket of {self.bucket}, "
                    f"got {feature.window}; change one of them"
                )
        return mistakes


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
