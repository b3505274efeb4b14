"""The platform's feature groups. Add yours to ``FEATURE_GROUPS``; docs/feature-store.md shows the way of an event."""

from datetime import timedelta

from mlplatform_constructs import Feature, FeatureGroup

RESTAURANT_PREPARATION = FeatureGroup(
    name="restaurant_preparation",
    entity="restaurant_id",
    event_id="order_id",
    event_time="ready_at",
    measures={"preparation_seconds": "double"},
    offline=(
        Feature(
            name="preparation_seconds_mean_7d", aggregate="mean", of="preparation_seconds", window=timedelta(days=7)
        ),
    ),
    online=(
        Feature(
            name="preparation_seconds_mean_1h", aggregate="mean", of="preparation_seconds", window=timedelta(hours=1)
        ),
    ),
    refresh=timedelta(hours=6),
    freshness=timedelta(minutes=5),
)
"""How long a restaurant takes to prepare a meal: over the last week for training, over the last hour for serving."""

FEATURE_GROUPS = (RESTAURANT_PREPARATION,)
