"""Every alert fires on series that call for it, stays silent on others, and has a runbook entry, by real promtool."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.monitoring.grafana.dashboard_files import queries
from charts.monitoring.prometheus.rule_files import RUNBOOKS, Objectives, Rules, rule_groups
from kubernetes_rehearsal import programs
from mlplatform_constructs import ConfigurationError
from tests.charts.monitoring.pictures import with_variables

HERE = Path(__file__).parent
CASES = tomllib.loads((HERE / "alerts.toml").read_text(encoding="utf-8"))
GROUPS = rule_groups(Rules(prices={"g5.xlarge": 1.006}))
RECORDS = {rule["record"]: rule for group in GROUPS for rule in group["rules"] if "record" in rule}
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RUNBOOK = Path(RUNBOOKS).read_text(encoding="utf-8")
needs_promtool = pytest.mark.skipif(
    programs.program("promtool") is None, reason="needs promtool; run `make programs NAMES=promtool`"
)


def promtool(folder: Path, *arguments: str, **files: Any) -> subprocess.CompletedProcess[str]:
    """Run promtool in a folder with these files, each as YAML."""
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    command = [str(programs.program("promtool")), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def unit_tests(folder: Path, *, expected: dict[str, int]) -> subprocess.CompletedProcess[str]:
    """Run promtool's unit tests: how many alerts of each name fire on the series of ``fires`` and ``silent``."""
    files: dict[str, Any] = {}
    for alert, case in CASES.items():
        interval = case.get("interval", "1m")
        files[f"{alert}.rules"] = {"groups": [{"name": alert, "rules": read_by(ALERTS[alert])}]}
        files[f"{alert}.tests"] = {
            "rule_files": [f"{alert}.rules.yaml"],
            "evaluation_interval": interval,
            "tests": [_unit_test(alert, case, name, count, interval) for name, count in expected.items()],
        }
    names = [f"{alert}.tests.yaml" for alert in CASES]
    return promtool(folder, "test", "rules", *names, **files)


def _unit_test(alert: str, case: Any, name: str, count: int, interval: str) -> dict[str, Any]:
    return {
        "interval": interval,
        "input_series": [{"series": series, "values": values} for series, values in case[name].items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)',
                "eval_time": case["at"],
                "exp_samples": [{"value": count}],
            }
        ],
    }


def read_by(rule: Any) -> list[Any]:
    """A rule, after the recording rules that it reads."""
    before = [each for name, each in RECORDS.items() if name in rule["expr"] and each is not rule]
    found = [one for each in before for one in read_by(each)]
    return [*{str(one): one for one in found}.values(), rule]


@needs_promtool
@pytest.mark.promise("dashboards-and-alerts", "undersized-cluster-alert")
def test_every_alert_fires_on_series_that_call_for_it_and_stays_silent_on_others(tmp_path: Path) -> None:
    found = unit_tests(tmp_path, expected={"fires": 1, "silent": 0})
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.promise("undersized-cluster-alert")
def test_a_cluster_that_is_too_small_for_its_jobs_has_alerts_for_pods_executors_and_cached_data() -> None:
    about = {"PodPending", "SparkExecutorsPending", "SparkCacheOnDisk", "SparkCacheFull"}
    assert about <= set(ALERTS)
    assert about <= set(CASES)


@needs_promtool
def test_promtool_would_notice_alerts_that_fire_or_stay_silent_wrongly(tmp_path: Path) -> None:
    found = unit_tests(tmp_path, expected={"fires": 0, "silent": 1})
    assert found.returncode == 1
    assert (found.stdout + found.stderr).count("FAILED") == len(CASES)


@pytest.mark.promise("dashboards-and-alerts")
def test_every_alert_has_series_that_it_fires_on_and_series_that_it_does_not() -> None:
    assert set(CASES) == set(ALERTS)
    for case in CASES.values():
        assert case["fires"]
        assert case["silent"]
        assert case["fires"] != case["silent"]


@pytest.mark.promise("dashboards-and-alerts")
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_runbook_entry_that_it_names(alert: str) -> None:
    anchor = ALERTS[alert]["annotations"]["runbook"]
    assert anchor == f"{RUNBOOKS}#{alert.lower()}"
    section = RUNBOOK.partition(f"\n## {alert}\n")[2].partition("\n## ")[0]
    assert "**Meaning.**" in section
    assert "**Check.**" in section
    assert "**Act.**" in section


def test_the_runbooks_have_no_entry_without_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE) == sorted(ALERTS)


@needs_promtool
@pytest.mark.promise("dashboards-and-alerts")
def test_promtool_accepts_every_rule(tmp_path: Path) -> None:
    found = promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", rules={"groups": GROUPS})
    assert found.returncode == 0, found.stdout + found.stderr


@needs_promtool
@pytest.mark.promise("dashboards-and-alerts")
def test_promtool_accepts_every_query_of_every_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{uid}:{number}", "expr": with_variables(query)}
        for uid, found in queries().items()
        for number, (_, query) in enumerate(found)
    ]
    checked = promtool(
        tmp_path, "check", "rules", "rules.yaml", rules={"groups": [{"name": "queries", "rules": rules}]}
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(rules)} rules found" in checked.stdout


def test_no_query_names_a_recorded_series_that_no_rule_makes() -> None:
    made = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
    texts = [query for found in queries().values() for _, query in found]
    texts += [rule["expr"] for group in GROUPS for rule in group["rules"]]
    named = {name for text in texts for name in re.findall(r"\b[a-z_]+:[a-z0-9_:]+", text)}
    assert named <= made
    assert len(named) > 20


def test_critical_alerts_are_few_enough_to_wake_someone() -> None:
    severities = [rule["labels"]["severity"] for rule in ALERTS.values()]
    assert severities.count("critical") < len(severities) / 3


def test_objectives_of_the_account_are_in_the_alerts() -> None:
    rules = Rules(objectives=Objectives(availability=99.0, latency_milliseconds=100, fast_enough=95.0))
    text = json.dumps(rule_groups(rules))
    assert "14.4 * 0.01" in text
    assert 'le=~\\"100|100.0\\"' in text
    assert "vector(0.05)" in text
    assert "%" not in re.sub(r"\d %", "", re.sub(r"%[^a-z]", "", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[alerts]]\nalert = 'A'\nexpr = 'up'\n", "bad.toml: A: has alert, expr; an entry has alert, expr, for, sev"),
        ("[[records]]\nrecord = 'a:b'\n", "bad.toml: a:b: has record; an entry has record, expr"),
        ("[[rules]]\nrecord = 'a:b'\n", "bad.toml: unknown key 'rules'; use records or alerts"),
        (
            "[[alerts]]\nalert='A'\nexpr='up'\nfor='1m'\nseverity='urgent'\nsummary='s'\ndescription='d'\n",
            "bad.toml: A: severity must be critical, warning, info, got 'urgent'",
        ),
    ],
)
def test_a_rule_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        rule_groups(folder=tmp_path)
