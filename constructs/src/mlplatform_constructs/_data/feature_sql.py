"""The statements that recompute offline features, rendered from a feature group.

Athena uses Trino's SQL. ``select_features`` uses only what Trino and DuckDB have in common, so that the same text can
run on the same Parquet files without AWS; only the statements that write and register a partition are specific to
Athena.

Two placeholders are filled when a run starts: ``<as_of>``, the end of the windows as ``2026-07-13 06:00:00``, and
``<run>``, a unique name of the run.
"""

from datetime import timedelta

from .feature_group import EVENT_PARTITION, FEATURE_PARTITION, Feature, FeatureGroup

AS_OF = "<as_of>"
PARTITION = "<partition>"
RUN = "<run>"
SQL_TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE"}

_FUNCTIONS = {"count": "count", "sum": "sum", "mean": "avg", "min": "min", "max": "max"}
_SLACK = timedelta(days=1)
"""Producers' clocks differ: an event can arrive on the day before its own time."""


def select_features(group: FeatureGroup) -> str:
    """The features of every entity with an event in a window that ends at ``<as_of>``; each event counts once.

    Partitions are days of arrival. There is no upper bound on them: a run that is repeated later includes the events
    that were late.
    """
    window = max(feature.window for feature in group.offline)
    first_day = f"TIMESTAMP '{AS_OF}' - INTERVAL '{_days(window + _SLACK)}' DAY"
    measures = "".join(f', min("{name}") AS "{name}"' for name in group.measures)
    features = "".join(f",\n  {_feature(group, feature)}" for feature in group.offline)
    return (
        f'SELECT "{group.entity}"{features}\n'
        "FROM (\n"
        f'  SELECT "{group.entity}", "{group.event_id}", "{group.event_time}"{measures}\n'
        f'  FROM "{group.events_table}"\n'
        f'  WHERE "{EVENT_PARTITION}" >= CAST(CAST({first_day} AS DATE) AS VARCHAR)\n'
        f'    AND "{group.event_time}" >= {_milliseconds(window)} AND "{group.event_time}" < {_milliseconds()}\n'
        f'  GROUP BY "{group.entity}", "{group.event_id}", "{group.event_time}"\n'
        ") AS events\n"
        f'GROUP BY "{group.entity}"'
    )


def unload_features(group: FeatureGroup, folder: str) -> str:
    """Write the features into a folder of this run, which is not yet a partition."""
    form = "format = 'PARQUET', compression = 'ZSTD'"
    return f"UNLOAD (\n{select_features(group)}\n) TO '{_location(folder)}' WITH ({form})"


def add_partition(group: FeatureGroup, folder: str) -> str:
    """Show a finished run to readers, if it is the partition's first."""
    partition = f"PARTITION ({FEATURE_PARTITION} = '{PARTITION}')"
    return f"ALTER TABLE `{group.name}` ADD IF NOT EXISTS {partition} LOCATION '{_location(folder)}'"


def move_partition(group: FeatureGroup, folder: str) -> str:
    """Atomically replace the partition's earlier run with a finished one."""
    partition = f"PARTITION ({FEATURE_PARTITION} = '{PARTITION}')"
    return f"ALTER TABLE `{group.name}` {partition} SET LOCATION '{_location(folder)}'"


def _feature(group: FeatureGroup, feature: Feature) -> str:
    """The cast fixes the type of the column, because engines use different types for a sum."""
    value = f'{_FUNCTIONS[feature.aggregate]}("{feature.of}")'
    inside = f'FILTER (WHERE "{group.event_time}" >= {_milliseconds(feature.window)})'
    return f'CAST({value} {inside} AS {SQL_TYPES[group.type_of(feature)]}) AS "{feature.name}"'


def _milliseconds(before: timedelta = timedelta()) -> str:
    """``before`` the end of the windows, in milliseconds since 1970."""
    end = f"date_diff('millisecond', TIMESTAMP '1970-01-01 00:00:00', TIMESTAMP '{AS_OF}')"
    return f"{end} - {before // timedelta(milliseconds=1)}" if before else end


def _days(span: timedelta) -> int:
    return -(-span // timedelta(days=1))


def _location(folder: str) -> str:
    return f"{folder}/{FEATURE_PARTITION}={PARTITION}/run={RUN}/"
