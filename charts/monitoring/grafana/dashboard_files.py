"""Dashboards of Grafana, from ``dashboards/*.toml``: titles, queries and units; the layout follows from the order."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlplatform_constructs import ConfigurationError

FOLDER = Path(__file__).parent / "dashboards"
KINDS = {"lines": "timeseries", "number": "stat", "bars": "bargauge", "table": "table"}

_SCHEMA = 41
_COLUMNS, _HEIGHT = 24, 8
_WIDTHS = {"lines": 12, "number": 6, "bars": 12, "table": 24}
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_FIELDS = {"title", "kind", "unit", "description", "queries"}


def dashboards(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Each dashboard in Grafana's own format, by its uid, the name of its file.

    :raises ConfigurationError: for a panel that lacks a field, has an unknown one, or an unknown kind.
    """
    return {path.stem: _dashboard(path) for path in sorted(folder.glob("*.toml"))}


def queries(folder: Path = FOLDER) -> dict[str, list[tuple[str, str]]]:
    """Title and query of every target, by dashboard, with Grafana's variables as they are."""
    return {
        uid: [(panel["title"], target["expr"]) for panel in one["panels"] for target in panel["targets"]]
        for uid, one in dashboards(folder).items()
    }


def _dashboard(path: Path) -> dict[str, Any]:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    panels: list[dict[str, Any]] = []
    x = y = 0
    for number, entry in enumerate(data["panels"], start=1):
        panel = _panel(entry, number, f"{path.parent.name}/{path.name}")
        width = _WIDTHS[entry["kind"]]
        if x + width > _COLUMNS:
            x, y = 0, y + _HEIGHT
        panels.append({**panel, "gridPos": {"x": x, "y": y, "w": width, "h": _HEIGHT}})
        x += width
    return {
        "uid": path.stem,
        "title": data["title"],
        "description": data["description"],
        "tags": ["platform"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "refresh": "1m",
        "time": {"from": data.get("from", "now-6h"), "to": "now"},
        "templating": {"list": [_SOURCE_VARIABLE, *(_variable(*pair) for pair in data.get("variables", {}).items())]},
        "panels": panels,
    }


def _panel(entry: Mapping[str, Any], number: int, place: str) -> dict[str, Any]:
    title = entry.get("title", f"panel {number}")
    if unknown := set(entry) - _FIELDS:
        raise ConfigurationError(f"{place}: {title}: unknown key {min(unknown)!r}; use {', '.join(sorted(_FIELDS))}")
    if missing := {"title", "kind", "queries"} - set(entry):
        raise ConfigurationError(f"{place}: {title}: {min(missing)} is missing; add it")
    if entry["kind"] not in KINDS:
        raise ConfigurationError(f"{place}: {title}: kind must be {', '.join(KINDS)}, got {entry['kind']!r}")
    instant = entry["kind"] in ("bars", "table")
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": query,
            "legendFormat": legend,
            "instant": instant,
            "range": not instant,
            **({"format": "table"} if entry["kind"] == "table" else {}),
        }
        for index, (legend, query) in enumerate(entry["queries"].items())
    ]
    return {
        "id": number,
        "title": title,
        "type": KINDS[entry["kind"]],
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": entry.get("unit", "short"), "min": 0}, "overrides": []},
        "targets": targets,
        **({"description": entry["description"]} if "description" in entry else {}),
    }


_SOURCE_VARIABLE = {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    """A list of values to choose from; all by default."""
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
