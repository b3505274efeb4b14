"""Metrics of autoscalers: each name that a builder writes has a rule, whose query gives the right value."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from charts.monitoring.prometheus_adapter.objects import configuration
from mlplatform_constructs.serving import Metric
from tests.charts.monitoring.components import objects_of
from tests.charts.monitoring.test_alerts import needs_promtool, promtool

RULES = {rule["name"]["as"]: rule for rule in configuration()["rules"] if "name" in rule}
(BUSINESS,) = [rule for rule in configuration()["rules"] if "name" not in rule]
POD = 'reporter="destination",namespace="fraud",pod="scorer-1"'
BUCKET = "istio_request_duration_milliseconds_bucket"
RECORDED: dict[str, tuple[dict[str, str], str]] = {
    # 2 requests a second, each of half a second: 60 in 30 s, and one of them is worked on at any time
    "requests_per_second": ({f"istio_requests_total{{{POD}}}": "0+60x20"}, "2"),
    "model_requests_in_flight": ({f"istio_request_duration_milliseconds_sum{{{POD}}}": "0+30000x20"}, "1"),
    "model_response_time_p95_seconds": (
        {
            f'{BUCKET}{{{POD},le="250"}}': "0+0x20",
            f'{BUCKET}{{{POD},le="500"}}': "0+60x20",
            f'{BUCKET}{{{POD},le="+Inf"}}': "0+60x20",
        },
        "0.4875",
    ),
    "request_milliseconds_p95": (
        {
            f'{BUCKET}{{{POD},le="250"}}': "0+0x20",
            f'{BUCKET}{{{POD},le="500"}}': "0+60x20",
            f'{BUCKET}{{{POD},le="+Inf"}}': "0+60x20",
        },
        "487.5",
    ),
    "requests_in_flight": (
        {
            'http_requests_in_flight{namespace="fraud",pod="scorer-1",handler="predict"}': "3x20",
            'http_requests_in_flight{namespace="fraud",pod="scorer-1",handler="explain"}': "1x20",
        },
        "4",
    ),
}
"""Series of one pod by metric, a sample every 30 seconds, and the value of the metric."""


def asked(rule: Any, series: str, *, matchers: str = 'namespace="fraud",pod="scorer-1"', by: str = "pod") -> str:
    """The query of the adapter, with its template filled in as the adapter does. Default: for the pod ``scorer-1``."""
    words = {"<<.Series>>": series, "<<.LabelMatchers>>": matchers, "<<.GroupBy>>": by}
    query: str = rule["metricsQuery"]
    for word, value in words.items():
        query = query.replace(word, value)
    return query


@needs_promtool
@pytest.mark.promise("scaling-by-metrics")
def test_every_metric_of_pods_has_the_right_value_on_recorded_series(tmp_path: Path) -> None:
    assert set(RECORDED) == set(RULES)
    tests = []
    for name, (series, value) in RECORDED.items():
        other = {one.replace("scorer-1", "scorer-2"): values for one, values in series.items()}
        query = asked(RULES[name], RULES[name]["seriesQuery"].partition("{")[0])
        tests.append(
            {
                "interval": "30s",
                "input_series": [{"series": one, "values": values} for one, values in {**series, **other}.items()],
                "promql_expr_test": [
                    {
                        "expr": f"round({query}, 0.0001)",
                        "eval_time": "10m",
                        "exp_samples": [{"labels": '{pod="scorer-1"}', "value": float(value)}],
                    }
                ],
            }
        )
    found = promtool(tmp_path, "test", "rules", "queries.yaml", queries={"rule_files": [], "tests": tests})
    assert found.returncode == 0, found.stdout + found.stderr
    tests[0]["promql_expr_test"][0]["exp_samples"][0]["value"] = 3.0  # type: ignore[index]
    wrong = promtool(tmp_path, "test", "rules", "queries.yaml", queries={"rule_files": [], "tests": tests})
    assert wrong.returncode == 1


@needs_promtool
@pytest.mark.promise("scaling-by-metrics")
def test_a_figure_of_the_business_is_that_of_the_namespace_which_two_servers_scrape(tmp_path: Path) -> None:
    series = {
        'autoscaling_orders{namespace="fraud",pod="shop-1"}': "7x20",
        'autoscaling_orders{namespace="fraud",pod="shop-2"}': "9x20",
        'autoscaling_orders{namespace="churn",pod="shop-1"}': "50x20",
    }
    query = asked(BUSINESS, "autoscaling_orders", matchers='namespace="fraud"', by="namespace")
    case = {
        "interval": "30s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": query, "eval_time": "5m", "exp_samples": [{"labels": '{namespace="fraud"}', "value": 9}]}
        ],
    }
    found = promtool(tmp_path, "test", "rules", "queries.yaml", queries={"rule_files": [], "tests": [case]})
    assert found.returncode == 0, found.stdout + found.stderr


@needs_promtool
@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_the_series_that_its_query_reads(tmp_path: Path, name: str) -> None:
    """The adapter lists series by one selector, and asks for them by another."""
    series, _ = RECORDED[name]
    selector = RULES[name]["seriesQuery"]
    case = {
        "interval": "30s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": f"count({selector})", "eval_time": "5m", "exp_samples": [{"value": len(series)}]}
        ],
    }
    found = promtool(tmp_path, "test", "rules", "queries.yaml", queries={"rule_files": [], "tests": [case]})
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.promise("scaling-by-metrics")
@pytest.mark.parametrize("metric", [Metric.response_time(0.2), Metric.in_flight(4)], ids=lambda metric: metric.name)
def test_every_metric_of_pods_that_a_builder_names_has_a_rule(metric: Metric) -> None:
    assert metric.kind == "pods"
    assert metric.name in RULES


def test_a_figure_of_the_business_has_the_prefix_that_the_adapter_serves() -> None:
    served = re.search(r'__name__=~"([^"]+)"', BUSINESS["seriesQuery"])
    assert served
    assert re.fullmatch(served[1], Metric.business("autoscaling_open_orders", 50).name)
    assert not re.fullmatch(served[1], "open_orders")


def test_the_adapter_reads_these_rules() -> None:
    (found,) = [one for one in objects_of("monitoring/prometheus_adapter") if one["kind"] == "ConfigMap"]
    assert json.loads(found["data"]["config.yaml"]) == configuration()
