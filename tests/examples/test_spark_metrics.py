"""The metrics of executors that a real Spark serves to Prometheus while its cache does not fit into memory."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from charts.monitoring.prometheus.rule_files import FOLDER
from tests.charts.monitoring.components import objects_of
from tests.examples.package_sets import package_set
from tests.examples.test_spark import pytestmark as needs_java
from tests.examples.test_spark import run

PROGRAM = """
import time, urllib.request
from pyspark import StorageLevel
from pyspark.sql import SparkSession, functions as sql
spark = SparkSession.builder.appName("too large").getOrCreate()
columns = (sql.rand(seed=i).alias(f"v{i}") for i in range(8))
rows = spark.range(4_000_000, numPartitions=12).select(*columns).persist(StorageLevel.MEMORY_AND_DISK)
rows.count()
def answer():
    with urllib.request.urlopen(f"{spark.sparkContext.uiWebUrl}/metrics/executors/prometheus", timeout=30) as found:
        return found.read().decode()
for _ in range(100):
    text = answer()
    if any("diskUsed" in line and '"driver"' not in line and float(line.split()[-1]) for line in text.splitlines()):
        break
    time.sleep(0.3)
print(text)
spark.stop()
"""
SMALL = "--master local-cluster[1,1,640] --driver-memory 1g --conf spark.executor.memory=512m"
pytestmark = needs_java


def scrape_job() -> Any:
    (secret,) = [one for one in objects_of("monitoring/prometheus") if one["kind"] == "Secret"]
    jobs = json.loads(secret["stringData"]["scrapes.yaml"])
    return next(job for job in jobs if job["job_name"] == "spark-drivers")


@pytest.mark.promise("cached-executors")
def test_spark_serves_the_series_of_its_alerts_where_prometheus_scrapes_them(tmp_path: Path) -> None:
    package_set("training", "spark")
    job = scrape_job()
    assert job["metrics_path"] in PROGRAM
    text = run(PROGRAM, submit=SMALL, folder=tmp_path)
    served = {}
    for name, labels, value in re.findall(r"^(\w+)\{([^}]*)\} (\S+)$", text, re.MULTILINE):
        if 'executor_id="0"' in labels:
            assert 'application_name="too large"' in labels
            served[name] = float(value)
    rules = tomllib.loads((FOLDER / "spark.toml").read_text(encoding="utf-8"))["alerts"]
    named = {name for rule in rules for name in re.findall(r"metrics_executor_\w+", rule["expr"])}
    assert len(named) == 5
    assert named <= set(served)
    (kept,) = job["metric_relabel_configs"]
    assert all(re.fullmatch(kept["regex"], name) for name in named)
    assert served["metrics_executor_diskUsed_bytes"] > 0
    assert served["metrics_executor_memoryUsed_bytes"] > 0.5 * served["metrics_executor_maxMemory_bytes"]
    assert served["metrics_executor_totalDuration_seconds_total"] > 0
