import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mlplatform_constructs import Feature, FeatureGroup

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WEEKLY = Feature(name="preparation_seconds_mean_7d", aggregate="mean", of="preparation_seconds", window=7 * DAY)
HOURLY = Feature(name="preparation_seconds_mean_1h", aggregate="mean", of="preparation_seconds", window=HOUR)
GROUP = FeatureGroup(
    name="restaurant_preparation",
    entity="restaurant_id",
    event_id="order_id",
    event_time="ready_at",
    measures={"preparation_seconds": "double", "items": "bigint"},
    offline=(WEEKLY,),
    online=(HOURLY,),
)


@pytest.mark.promise("offline-features")
def test_columns_have_the_types_of_the_measures() -> None:
    assert GROUP.event_columns == {
        "restaurant_id": "string",
        "order_id": "string",
        "ready_at": "bigint",
        "preparation_seconds": "double",
        "items": "bigint",
    }


@pytest.mark.promise("offline-features")
def test_a_features_type_follows_from_its_aggregate_and_measure() -> None:
    """A count is an integer and a mean is not, regardless of the type of the measure."""
    features = tuple(
        Feature(name=f"{aggregate}_{of}", aggregate=aggregate, of=of, window=DAY)
        for aggregate in ("count", "sum", "mean", "min", "max")
        for of in ("preparation_seconds", "items")
    )
    columns = replace(GROUP, offline=features).feature_columns
    assert columns.pop("restaurant_id") == "string"
    assert [name for name, type_ in columns.items() if type_ == "bigint"] == [
        "count_preparation_seconds",
        "count_items",
        "sum_items",
        "min_items",
        "max_items",
    ]
    assert set(columns.values()) == {"bigint", "double"}


@pytest.mark.promise("shared-feature-store")
def test_the_processor_is_told_in_seconds_and_json() -> None:
    spec = json.loads(json.dumps(GROUP.to_spec()))
    assert spec["bucket_seconds"] == 60
    assert spec["online"] == [
        {
            "name": "preparation_seconds_mean_1h",
            "aggregate": "mean",
            "of": "preparation_seconds",
            "window_seconds": 3600,
        }
    ]


def test_offline_features_alone_or_online_features_alone_are_a_group() -> None:
    assert replace(GROUP, online=()).to_spec()["online"] == []
    assert replace(GROUP, offline=()).feature_columns == {"restaurant_id": "string"}


@pytest.mark.promise("scheduled-features")
@pytest.mark.parametrize("hours", [1, 2, 3, 4, 6, 8, 12, 24])
def test_offline_features_may_be_recomputed_hourly_to_daily(hours: int) -> None:
    assert replace(GROUP, refresh=hours * HOUR).refresh == hours * HOUR


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"name": "Restaurants"}, "name 'Restaurants' must be lower-case letters, digits and _, 63 at most"),
        ({"entity": "a" * 64}, "must be lower-case letters, digits and _, 63 at most"),
        ({"event_id": 'x"; DROP'}, "must be lower-case letters, digits and _, 63 at most"),
        ({"event_id": "restaurant_id"}, "event name 'restaurant_id' is used twice; rename one"),
        ({"event_time": "dt"}, "event name 'dt' is the partition's; rename it"),
        ({"offline": (WEEKLY, WEEKLY)}, "offline name 'preparation_seconds_mean_7d' is used twice; rename one"),
        ({"offline": (replace(WEEKLY, name="as_of"),)}, "offline name 'as_of' is the partition's; rename it"),
        ({"offline": (), "online": ()}, "has no features; give offline or online ones"),
        (
            {"measures": {"preparation_seconds": "float"}},
            "measures has at 'preparation_seconds' a value that must be 'bigint' or 'double', got 'float'",
        ),
        (
            {"online": (replace(HOURLY, of="price"),)},
            "of 'price' is not a measure; there are: preparation_seconds, items",
        ),
        (
            {"online": (replace(HOURLY, aggregate="max"),)},
            "aggregate 'max' cannot be online, where buckets are only added to; use one of count, sum, mean",
        ),
        ({"refresh": 5 * HOUR}, "refresh must be 1, 2, 3, 4, 6, 8, 12 or 24 hours, got 5:00:00"),
        ({"refresh": timedelta()}, "refresh must be 1, 2, 3, 4, 6, 8, 12 or 24 hours, got 0:00:00"),
        ({"refresh": -HOUR}, "refresh must be 1, 2, 3, 4, 6, 8, 12 or 24 hours"),
        ({"freshness": timedelta(seconds=30)}, "freshness must be a minute or more, got 0:00:30"),
        ({"bucket": timedelta(seconds=90)}, "bucket must be whole minutes, got 0:01:30"),
        ({"offline": (replace(WEEKLY, window=timedelta(seconds=1)),)}, "window must be whole minutes, got 0:00:01"),
        ({"bucket": 7 * MINUTE}, "window must be 1 to 1440 times the bucket of 0:07:00, got 1:00:00"),
        ({"online": (replace(HOURLY, window=2 * DAY),)}, "window must be 1 to 1440 times the bucket of 0:01:00"),
    ],
)
def test_fails_when_a_field_cannot_be(changes: dict[str, Any], mistake: str) -> None:
    with pytest.raises(ValueError, match="feature group '") as failure:
        replace(GROUP, **changes)
    assert mistake in str(failure.value)


def test_fails_on_an_aggregate_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="'preparation_seconds_mean_7d': aggregate must be 'count' or .* got 'median'"):
        replace(WEEKLY, aggregate="median")  # type: ignore[arg-type]


def test_fails_with_every_mistake_at_once() -> None:
    with pytest.raises(ValueError, match="twice") as failure:
        replace(GROUP, event_id="restaurant_id", refresh=5 * HOUR, freshness=timedelta())
    assert len(str(failure.value).splitlines()) == 3
