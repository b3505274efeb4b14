"""The objects of a team's pages of Spark programs, for tests."""

from typing import Any

import cdk8s

from charts.kubeflow.spark_history_server.objects import SparkHistoryServer
from tests.charts.kubeflow.core import CATALOG


def spark_pages(team: str) -> list[Any]:
    chart = SparkHistoryServer(
        cdk8s.App(outdir="/dev/null"),
        "Spark",
        team=team,
        images=CATALOG.images,
        events=f"s3://artifacts/{team}/spark-events",
        region="eu-west-1",
    )
    found: list[Any] = chart.to_json()
    return found
