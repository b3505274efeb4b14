"""The table of monitoring: its defaults, and the accounts that it does not fit."""

from pathlib import Path

import pytest

from tests.account_files import WITH_DOMAIN, load, mistakes

TABLE = "[clusters.training.monitoring]\n"
ISOLATED = """nat = "none"
interface_endpoints = true
"""
REGISTRY = 'image_registry = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/mirror"\n'


@pytest.mark.promise("small-start")
def test_a_cluster_has_no_monitoring_unless_it_asks_for_it(tmp_path: Path) -> None:
    assert [cluster.monitoring for cluster in load(tmp_path, WITH_DOMAIN).clusters.values()] == [None, None]


def test_an_empty_table_is_enough(tmp_path: Path) -> None:
    found = load(tmp_path, WITH_DOMAIN + TABLE).clusters["training"].monitoring
    assert found
    assert (found.retention_days, found.storage_gib, found.workspace_arn) == (15, 50, None)
    assert (found.objectives.availability, found.objectives.latency_milliseconds) == (99.9, 500)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'workspace_arn = "arn:aws:aps:us-east-1:111111111111:workspace/ws-1"\n',
            "clusters: training.monitoring.workspace_arn: the workspace is in us-east-1; create one in eu-west-1",
        ),
        (
            '[clusters.training.monitoring.routes.churn]\nlabels = { namespace = "churn" }\n'
            'topic_arn = "arn:aws:sns:eu-west-1:222222222222:churn"\n',
            "clusters: training.monitoring.routes.churn.topic_arn: the topic is of account 222222222222; name one of "
            "111111111111, and subscribe the other account to it",
        ),
        (
            '[clusters.training.monitoring.routes.churn]\nlabels = { namespace = "churn" }\n'
            'topic_arn = "arn:aws:sns:us-east-1:111111111111:churn"\n',
            "clusters: training.monitoring.routes.churn.topic_arn: the topic is in us-east-1; name one in eu-west-1",
        ),
    ],
)
def test_a_workspace_and_topics_are_in_reach(tmp_path: Path, text: str, message: str) -> None:
    assert mistakes(tmp_path, WITH_DOMAIN + TABLE + text) == [message]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("prices = { xlarge = 1.0 }\n", "clusters.training.monitoring.prices.xlarge: the name must match ^"),
        (
            'prices = { "g5.xlarge" = inf }\n',
            "clusters.training.monitoring.prices.g5.xlarge: should be a finite number",
        ),
        (
            '[clusters.training.monitoring.routes.churn]\nlabels = { "my team" = "churn" }\n'
            'topic_arn = "arn:aws:sns:eu-west-1:111111111111:churn"\n',
            "clusters.training.monitoring.routes.churn.labels.my team: the name must match ^",
        ),
    ],
)
def test_what_prometheus_and_alertmanager_would_refuse_is_refused(tmp_path: Path, text: str, start: str) -> None:
    (line,) = mistakes(tmp_path, WITH_DOMAIN + TABLE + text)
    assert line.startswith(start)


def test_alerts_need_a_way_out_of_the_network(tmp_path: Path) -> None:
    text = REGISTRY + WITH_DOMAIN + ISOLATED + TABLE
    assert mistakes(tmp_path, text) == [
        "clusters: training.monitoring: network.nat is 'none', and the network has no endpoint of sns, by which alerts "
        "leave it; remove the table, or choose another network.nat"
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("retention_days = 0\n", "clusters.training.monitoring.retention_days: "),
        ("storage_gib = 5\n", "clusters.training.monitoring.storage_gib: "),
        ('workspace_arn = "ws-1"\n', "clusters.training.monitoring.workspace_arn: "),
        ('prices = { "m7i.large" = -1.0 }\n', "clusters.training.monitoring.prices.m7i.large: "),
        ("objectives = { latency_milliseconds = 300 }\n", "clusters.training.monitoring.objectives.latency_milli"),
        (
            "[clusters.training.monitoring.routes.churn]\nlabels = {}\n"
            'topic_arn = "arn:aws:sns:eu-west-1:111111111111:churn"\n',
            "clusters.training.monitoring.routes.churn.labels: ",
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused(tmp_path: Path, text: str, start: str) -> None:
    (line,) = mistakes(tmp_path, WITH_DOMAIN + TABLE + text)
    assert line.startswith(start), line
