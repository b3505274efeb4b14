"""Measures how many bytes a table takes in the memory of Spark for each byte of input, by format.

spark-submit measure_overhead.py FOLDER [--rows 200000] [--columns 10]
"""

import argparse
import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

FORMATS = ("csv", "csv.gz", "json", "parquet")


def measure(spark: SparkSession, folder: Path, *, rows: int, columns: int) -> dict[str, float]:
    """Bytes in memory for each byte of input, of a table of random numbers."""
    numbers = spark.range(rows, numPartitions=8).select(*(sql.rand(seed=i).alias(f"v{i}") for i in range(columns)))
    found = {}
    for name in FORMATS:
        path = str(folder / name)
        kind, _, compression = name.partition(".")
        options = {"compression": "gzip"} if compression else {}
        numbers.write.mode("overwrite").options(**options).format(kind).save(path, header=True)
        size = sum(file.stat().st_size for file in Path(path).glob("part-*"))
        table = spark.read.csv(path, header=True, inferSchema=True) if kind == "csv" else spark.read.load(path, kind)
        found[name] = round(cached_bytes(spark, table) / size, 2)
    return found


def cached_bytes(spark: SparkSession, table: DataFrame) -> int:
    """Memory that a table takes when all of it is cached, as Spark's REST API reports it."""
    table.persist(StorageLevel.MEMORY_ONLY)
    table.count()
    context = spark.sparkContext
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/storage/rdd"
    with urllib.request.urlopen(address, timeout=30) as answer:
        size = sum(int(each["memoryUsed"]) for each in json.load(answer))
    table.unpersist(blocking=True)
    return size


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="measure_overhead.py", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=10)
    options = parser.parse_args(arguments)
    spark = SparkSession.builder.appName("measure overhead").getOrCreate()
    try:
        print(json.dumps(measure(spark, options.folder, rows=options.rows, columns=options.columns)))
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
