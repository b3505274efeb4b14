"""A forest of decision trees over a wide table, in four timed phases; it stands in for VariantSpark.

    spark-submit trees.py TABLE --trees 100 [--report report.json]

The phases are those of the Spark UI: executors start, rows get an index, the data is loaded into memory, trees grow. At
the end the program prints how long each took, and how much of the data was in memory.
"""

import argparse
import json
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyspark import StorageLevel
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.linalg import Vectors
from pyspark.sql import Row, SparkSession

LABEL = "label"


def analyse(spark: SparkSession, table: str, *, trees: int, depth: int = 5) -> dict[str, Any]:
    """Grow a forest over a table of CSV or Parquet, and return seconds by phase, the accuracy and the cached share."""
    phases: dict[str, float] = {}
    started = time.monotonic()

    def ends(phase: str) -> None:
        nonlocal started
        now = time.monotonic()
        phases[phase], started = now - started, now

    context = spark.sparkContext
    context.parallelize(range(context.defaultParallelism), context.defaultParallelism).count()
    ends("executors")
    rows = (
        spark.read.parquet(table)
        if table.endswith(".parquet")
        else spark.read.csv(table, header=True, inferSchema=True)
    )
    measures = [name for name in rows.columns if name != LABEL]
    indexed = rows.rdd.zipWithIndex()
    indexed.count()
    ends("index")
    points = spark.createDataFrame(
        indexed.map(
            lambda pair: Row(
                row=pair[1], features=Vectors.dense([pair[0][name] for name in measures]), label=float(pair[0][LABEL])
            )
        )
    ).persist(StorageLevel.MEMORY_ONLY)
    count = points.count()
    ends("load")
    model = RandomForestClassifier(numTrees=trees, maxDepth=depth, seed=7).fit(points)
    ends("trees")
    wrong = model.transform(points).where("prediction <> label").count()
    return {"seconds": phases, "rows": count, "accuracy": 1 - wrong / count, "cached": cached_share(spark)}


def cached_share(spark: SparkSession) -> float:
    """The share of partitions of all cached tables that are in memory, as the REST API of Spark reports it."""
    context = spark.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/storage/rdd"
    with urllib.request.urlopen(address, timeout=30) as answer:
        tables = json.load(answer)
    partitions = sum(table["numPartitions"] for table in tables)
    return sum(table["numCachedPartitions"] for table in tables) / partitions if partitions else 1.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="trees.py", description=__doc__)
    parser.add_argument("table", help="CSV with a header, or .parquet")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--report", help="file for the result, as JSON")
    options = parser.parse_args(arguments)
    spark = SparkSession.builder.appName("trees").getOrCreate()
    try:
        found = json.dumps(analyse(spark, options.table, trees=options.trees))
    finally:
        spark.stop()
    print(found)
    if options.report:
        Path(options.report).write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
