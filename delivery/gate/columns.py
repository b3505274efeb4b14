"""Judges columns of tables of the Glue Data Catalog: whether what was written before can still be read."""

from collections.abc import Iterator
from typing import Any

from delivery.gate.changes import Change
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.structure import structured
from delivery.gate.values import Value

_PLACES = (("PartitionKeys",), ("StorageDescriptor", "Columns"))
_INSTEAD = "keep it, and add a measure or feature of another name"


def judge(change: Change) -> Iterator[Finding]:
    """A finding for each column whose history is no longer read.

    Athena refuses a file whose type is another one than its column's:
    https://docs.aws.amazon.com/athena/latest/ug/handling-schema-updates-chapter.html
    """
    if change.after.type != "AWS::Glue::Table" or change.before.type != change.after.type:
        return
    keys = [list(_columns(one.properties.get("TableInput", {}), _PLACES[0])) for one in (change.before, change.after)]
    if keys[0] != keys[1] and set(keys[0]) <= set(keys[1]):
        what = f"partition keys: {', '.join(keys[0]) or '(none)'} -> {', '.join(keys[1])}"
        why = "partitions that are there have values for the old keys, and can no longer be read; create another table"
        yield finding(change.after, Verdict.DATA_LOSING, what, why, stops=True)
    for place in _PLACES:
        before, after = (_columns(one.properties.get("TableInput", {}), place) for one in (change.before, change.after))
        for name, type in before.items():
            now = after.get(name)
            if now is None:
                why = f"what was written under this name is no longer read; {_INSTEAD}"
                yield finding(change.after, Verdict.DATA_LOSING, f"column {name}: removed", why, stops=True)
            elif now != type:
                why = f"files that are there hold {type}, and can no longer be read; {_INSTEAD}"
                yield finding(change.after, Verdict.DATA_LOSING, f"column {name}: {type} -> {now}", why, stops=True)


def _columns(table: Value, place: tuple[str, ...]) -> dict[str, str]:
    """Types of columns by name."""
    value: Any = structured(table)
    for name in place:
        value = value.get(name, {}) if isinstance(value, dict) else {}
    columns = value if isinstance(value, list) else []
    return {str(one.get("Name")): str(one.get("Type")) for one in columns if isinstance(one, dict)}
