"""The platform's recording rules and alerts, from ``rules/*.toml``."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplatform_constructs import ConfigurationError

FOLDER = Path(__file__).parent / "rules"
SEVERITIES = ("critical", "warning", "info")
LATENCY_BUCKETS = (50, 100, 250, 500, 1000, 2500, 5000, 10000)
"""Limits in milliseconds by which both the proxies of the mesh and model servers count requests."""
RUNBOOKS = "docs/runbooks.md"

PLATFORM_NAMESPACES = "|".join(
    (
        *("amazon-cloudwatch", "cert-manager", "emissary", "external-dns", "istio-system", "keda", "kserve"),
        *("kube-.*", "kubeflow.*", "monitoring.*", "seldon-.*"),
    )
)
"""Namespaces without models of teams, as a regular expression."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """What every model promises over 30 days. Alerts fire when a promise will be broken at the present rate.

    :param availability: percentage of requests without a server error.
    :param latency_milliseconds: time within which most requests are answered, one of ``LATENCY_BUCKETS``.
    :param fast_enough: percentage of requests that are answered within it.
    """

    availability: float = 99.9
    latency_milliseconds: int = 500
    fast_enough: float = 99.0

    def __post_init__(self) -> None:
        for name in ("availability", "fast_enough"):
            if not 50 <= (value := getattr(self, name)) < 100:
                raise ConfigurationError(f"objectives: {name} must be 50 or more and below 100, got {value}")
        if self.latency_milliseconds not in LATENCY_BUCKETS:
            raise ConfigurationError(
                f"objectives: latency_milliseconds must be one of {', '.join(map(str, LATENCY_BUCKETS))}, got "
                f"{self.latency_milliseconds}; requests are counted by these limits only"
            )

    @property
    def words(self) -> dict[str, str]:
        """What stands for the objectives in the files of the rules."""
        return {
            "%error_budget%": f"{1 - self.availability / 100:.6g}",
            "%slow_budget%": f"{1 - self.fast_enough / 100:.6g}",
            "%bucket%": str(self.latency_milliseconds),
            "%seconds%": f"{self.latency_milliseconds / 1000:g}",
            "%latency%": str(self.latency_milliseconds),
            "%platform_namespaces%": PLATFORM_NAMESPACES,
        }


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Parameters of the rules.

    :param objectives: of every model.
    :param prices: US dollars per hour by instance type, for the cost of nodes. Default: none; cost is not computed.
    """

    objectives: Objectives = field(default_factory=Objectives)
    prices: Mapping[str, float] = field(default_factory=dict)


def rule_groups(rules: Rules | None = None, *, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """One group a file, in Prometheus's own format. Each alert names its entry in the runbooks.

    :raises ConfigurationError: for an entry that lacks a key, has an unknown one, or an unknown severity.
    """
    rules = rules or Rules()
    groups = [
        {"name": path.stem, "rules": [*_entries(path, rules.objectives.words)]}
        for path in sorted(folder.glob("*.toml"))
    ]
    prices = [
        {
            "record": "instance_type:dollars_per_hour",
            "expr": f"vector({dollars:g})",
            "labels": {"label_node_kubernetes_io_instance_type": name},
        }
        for name, dollars in sorted(rules.prices.items())
    ]
    return [*([{"name": "prices", "rules": prices}] if prices else []), *groups]


def _entries(path: Path, words: Mapping[str, str]) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    tables = tomllib.loads(text)
    place = f"{path.parent.name}/{path.name}"
    if unknown := set(tables) - {"records", "alerts"}:
        raise ConfigurationError(f"{place}: unknown key {min(unknown)!r}; use records or alerts")
    records = [_checked(entry, ("record", "expr"), place) for entry in tables.get("records", [])]
    return [*records, *(_alert(entry, place) for entry in tables.get("alerts", []))]


def _alert(entry: Mapping[str, Any], place: str) -> dict[str, Any]:
    _checked(entry, ("alert", "expr", "for", "severity", "summary", "description"), place)
    if entry["severity"] not in SEVERITIES:
        raise ConfigurationError(
            f"{place}: {entry['alert']}: severity must be {', '.join(SEVERITIES)}, got {entry['severity']!r}"
        )
    return {
        "alert": entry["alert"],
        "expr": entry["expr"],
        "for": entry["for"],
        "labels": {"severity": entry["severity"]},
        "annotations": {
            "summary": entry["summary"],
            "description": entry["description"],
            "runbook": f"{RUNBOOKS}#{entry['alert'].lower()}",
        },
    }


def _checked(entry: Mapping[str, Any], keys: Sequence[str], place: str) -> dict[str, Any]:
    if set(entry) != set(keys):
        name = entry.get("record") or entry.get("alert") or "an entry"
        raise ConfigurationError(f"{place}: {name}: has {', '.join(sorted(entry))}; an entry has {', '.join(keys)}")
    return dict(entry)
