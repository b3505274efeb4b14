"""Caches a table, scans it several times, and reports how much of it was in memory and how long a scan took.

spark-submit cached_scans.py TABLE.parquet REPORT.json [--scans 3] [--without-disk]

With ``--without-disk``, what does not fit into memory is read and decoded again in each scan.
"""

import argparse
import json
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql


def scan(spark: SparkSession, table: str, *, scans: int, disk: bool = True) -> dict[str, Any]:
    """The state of the cache after the last scan, by Spark's REST API, and seconds of the fastest scan.

    :param table: Parquet, or CSV with a header.
    :param disk: whether what does not fit into memory is kept on disk.
    """
    file = spark.read.parquet(table) if table.endswith(".parquet") else _csv(spark, table)
    rows = file.persist(StorageLevel.MEMORY_AND_DISK if disk else StorageLevel.MEMORY_ONLY)
    rows.count()
    total = sum((sql.col(name) for name in rows.columns), sql.lit(0.0))
    seconds = []
    for _ in range(scans):
        started = time.monotonic()
        rows.agg(sql.sum(total)).first()
        seconds.append(time.monotonic() - started)
    context = spark.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}"

    def read(path: str) -> Any:
        with urllib.request.urlopen(f"{address}/{path}", timeout=30) as answer:
            return json.load(answer)

    [storage] = read("storage/rdd")
    executors = [each for each in read("executors") if each["id"] != "driver"]
    memory, on_disk = int(storage["memoryUsed"]), int(storage["diskUsed"])
    return {
        "cached": memory / (memory + on_disk) if disk else storage["numCachedPartitions"] / storage["numPartitions"],
        "memory": memory,
        "disk": on_disk,
        "partitions": storage["numPartitions"],
        "executors": len(executors),
        "storage_memory": sum(int(each["maxMemory"]) for each in executors),
        "seconds": min(seconds),
    }


def _csv(spark: SparkSession, table: str) -> DataFrame:
    """A table of numbers. Its columns are known, so that no scan has to find them out."""
    with Path(table).open(encoding="utf-8") as lines:
        names = next(lines).strip().split(",")
    return spark.read.csv(table, header=True, schema=", ".join(f"`{name}` DOUBLE" for name in names))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="cached_scans.py", description=__doc__)
    parser.add_argument("table")
    parser.add_argument("report", type=Path)
    parser.add_argument("--scans", type=int, default=3)
    parser.add_argument("--without-disk", action="store_true", help="read again what does not fit into memory")
    options = parser.parse_args(arguments)
    spark = SparkSession.builder.appName("cached scans").getOrCreate()
    try:
        found = scan(spark, options.table, scans=options.scans, disk=not options.without_disk)
    finally:
        spark.stop()
    options.report.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
