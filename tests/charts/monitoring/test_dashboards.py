"""Every query of every dashboard has an answer on recorded series by a real Prometheus; what a dashboard refuses."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from charts.monitoring.grafana.dashboard_files import dashboards, queries
from charts.monitoring.prometheus.rule_files import Rules, rule_groups
from mlplatform_constructs import ConfigurationError
from tests.charts.monitoring import recorded
from tests.charts.monitoring.pictures import PICTURES, with_variables
from tests.charts.monitoring.replay import Replay, levels, missing, replay

QUERIES = [
    pytest.param(query, id=f"{uid}: {title} {number}")
    for uid, found in queries().items()
    for number, (title, query) in enumerate(found)
]
GROUPS = rule_groups(Rules(prices=recorded.PRICES))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    if lacks := missing():
        pytest.skip(f'needs {", ".join(lacks)}; run `make programs NAMES="{" ".join(lacks)}"`')
    with replay(tmp_path_factory.mktemp("replay"), GROUPS) as server:
        yield server


@pytest.mark.promise("dashboards-and-alerts")
@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_an_answer_on_recorded_series(server: Replay, query: str) -> None:
    found = server.query(with_variables(query))
    assert found
    assert all(each["value"][1] not in ("NaN", "+Inf", "-Inf") for each in found)


@pytest.mark.promise("dashboards-and-alerts")
@pytest.mark.parametrize(
    "record", sorted({rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule})
)
def test_a_recording_rule_has_a_result_on_recorded_series(server: Replay, record: str) -> None:
    assert server.query(record)


@pytest.mark.promise("latency-objectives")
def test_a_canary_that_fails_uses_up_the_budget_of_the_model(server: Replay) -> None:
    (ratio,) = server.query("model:error_ratio:rate1h")
    assert ratio["metric"] == {"__name__": "model:error_ratio:rate1h", "namespace": "fraud", "model": "scorer"}
    assert 0.002 < float(ratio["value"][1]) < 0.003
    (before,) = server.query("model:error_ratio:rate1h", at=recorded.START + 3600)
    assert float(before["value"][1]) < 0.001


def test_the_cost_of_an_idle_gpu_is_that_of_its_node(server: Replay) -> None:
    (cost,) = server.query("namespace:idle_gpu_dollars_per_hour")
    assert cost["metric"]["namespace"] == "churn"
    assert float(cost["value"][1]) == recorded.PRICES["g5.xlarge"]
    (before,) = server.query("namespace:idle_gpu_dollars_per_hour", at=recorded.START + 4 * 3600)
    assert float(before["value"][1]) == 0


def test_a_query_that_is_wrong_would_be_noticed(server: Replay) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        server.query("sum by (")
    assert server.query("no_such_series") == []


def test_rules_are_evaluated_after_those_that_they_read() -> None:
    found = [{rule["record"] for group in level for rule in group["rules"]} for level in levels(GROUPS)]
    assert "node:dollars_per_hour" not in found[0]
    assert "node:dollars_per_gpu_hour" not in found[1] or "node:dollars_per_hour" in found[0] | found[1]
    assert len(found) >= 3


def test_panels_fill_rows_from_left_to_right() -> None:
    for dashboard in dashboards().values():
        taken = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {(x, place["y"]) for x in range(place["x"], place["x"] + place["w"])}
            assert not cells & taken
            taken |= cells


@pytest.mark.parametrize("uid", PICTURES)
def test_a_picture_in_the_docs_shows_the_panels_of_its_dashboard(uid: str) -> None:
    text = Path("docs", "monitoring", f"{uid}.svg").read_text(encoding="utf-8")
    lines = [panel["title"] for panel in dashboards()[uid]["panels"] if panel["type"] == "timeseries"]
    assert lines
    for title in lines:
        assert title in text


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        ('title = "A"\nkind = "lines"\n', "dashboards/bad.toml: A: queries is missing; add it"),
        (
            'title = "A"\nkind = "pie"\nqueries = {}\n',
            "bad.toml: A: kind must be lines, number, bars, table, got 'pie'",
        ),
        ('title = "A"\nkind = "lines"\nquery = "up"\n', "bad.toml: A: unknown key 'query'; use description, kind, q"),
    ],
)
def test_a_panel_that_is_not_as_it_should_be_is_refused(tmp_path: Path, panel: str, message: str) -> None:
    folder = tmp_path / "dashboards"
    folder.mkdir()
    (folder / "bad.toml").write_text(f'title = "T"\ndescription = "D"\n[[panels]]\n{panel}', encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        dashboards(folder)
