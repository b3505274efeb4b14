"""Metrics of autoscalers: each name that a builder writes has a rule, whose query gives the right value.

Servers outside the mesh measure the same as its proxies: in seconds, under the names that Prometheus gives them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from charts.monitoring.prometheus.rule_files import rule_groups
from charts.monitoring.prometheus_adapter.objects import configuration
from mlplatform_constructs.serving import Metric
from tests.charts.monitoring.components import objects_of
from tests.charts.monitoring.test_alerts import needs_promtool, promtool

RULES = {rule["name"]["as"]: rule for rule in configuration()["rules"] if "name" in rule}
(BUSINESS,) = [rule for rule in configuration()["rules"] if "name" not in rule]
GROUPS = [group for group in rule_groups() if group["name"] == "serving"]
PROXY = 'reporter="destination",namespace="fraud",pod="scorer-1"'
SERVER = 'model="scorer",namespace="fraud",pod="scorer-1"'
BUCKET = "istio_request_duration_milliseconds_bucket"
IN_MESH = {
    f'{BUCKET}{{{PROXY},le="250"}}': "0+0x20",
    f'{BUCKET}{{{PROXY},le="500"}}': "0+60x20",
    f'{BUCKET}{{{PROXY},le="+Inf"}}': "0+60x20",
}
OUTSIDE = {
    f'model_request_seconds_bucket{{{SERVER},le="0.25"}}': "0+0x20",
    f'model_request_seconds_bucket{{{SERVER},le="0.5"}}': "0+60x20",
    f'model_request_seconds_bucket{{{SERVER},le="+Inf"}}': "0+60x20",
}
Recorded = dict[str, tuple[dict[str, str], str]]
# 2 requests a second, each of half a second: 60 in 30 s, and one of them is worked on at any time
BY_PROXIES: Recorded = {
    "requests_per_second": ({f"istio_requests_total{{{PROXY}}}": "0+60x20"}, "2"),
    "model_requests_in_flight": ({f"istio_request_duration_milliseconds_sum{{{PROXY}}}": "0+30000x20"}, "1"),
    "model_response_time_p95_seconds": (IN_MESH, "0.4875"),
    "request_milliseconds_p95": (IN_MESH, "487.5"),
    "requests_in_flight": (
        {
            'http_requests_in_flight{namespace="fraud",pod="scorer-1",handler="predict"}': "3x20",
            'http_requests_in_flight{namespace="fraud",pod="scorer-1",handler="explain"}': "1x20",
        },
        "4",
    ),
}
BY_SERVERS: Recorded = {
    **BY_PROXIES,
    "requests_per_second": ({f"model_request_seconds_count{{{SERVER}}}": "0+60x20"}, "2"),
    "model_requests_in_flight": ({f"model_request_seconds_sum{{{SERVER}}}": "0+30x20"}, "1"),
    "model_response_time_p95_seconds": (OUTSIDE, "0.4875"),
    "request_milliseconds_p95": (OUTSIDE, "487.5"),
}
"""Series of one pod by metric, a sample every 30 seconds, and the value of the metric."""
measured = pytest.mark.parametrize("recorded", [BY_PROXIES, BY_SERVERS], ids=["by proxies", "by servers"])


def asked(rule: Any, series: str, *, matchers: str = 'namespace="fraud",pod="scorer-1"', by: str = "pod") -> str:
    """The query of the adapter, with its template filled in as the adapter does. Default: for the pod ``scorer-1``."""
    words = {"<<.Series>>": series, "<<.LabelMatchers>>": matchers, "<<.GroupBy>>": by}
    query: str = rule["metricsQuery"]
    for word, value in words.items():
        query = query.replace(word, value)
    return query


def rules_and_tests(tests: list[Any]) -> dict[str, Any]:
    """Files for promtool: tests of the recording rules that the adapter reads."""
    return {
        "rules": {"groups": GROUPS},
        "queries": {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": tests},
    }


@needs_promtool
@measured
@pytest.mark.promise("scaling-by-metrics")
def test_every_metric_of_pods_has_the_right_value_on_recorded_series(tmp_path: Path, recorded: Recorded) -> None:
    assert set(recorded) == set(RULES)
    tests = []
    for name, (series, value) in recorded.items():
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
    found = promtool(tmp_path, "test", "rules", "queries.yaml", **rules_and_tests(tests))
    assert found.returncode == 0, found.stdout + found.stderr
    tests[0]["promql_expr_test"][0]["exp_samples"][0]["value"] = 3.0  # type: ignore[index]
    wrong = promtool(tmp_path, "test", "rules", "queries.yaml", **rules_and_tests(tests))
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
@measured
def test_a_rule_finds_the_series_that_its_query_reads(tmp_path: Path, recorded: Recorded) -> None:
    """The adapter lists series by one selector, and asks for them by another."""
    tests = [
        {
            "interval": "30s",
            "input_series": [{"series": one, "values": values} for one, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f"count({RULES[name]['seriesQuery']}) > bool 0",
                    "eval_time": "5m",
                    "exp_samples": [{"value": 1}],
                }
            ],
        }
        for name, (series, _) in recorded.items()
    ]
    found = promtool(tmp_path, "test", "rules", "queries.yaml", **rules_and_tests(tests))
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
