"""Prepares raw data with Spark: drops incomplete rows, scales every measure, splits into training and test data.

    spark-submit prepare.py RAW PREPARED

The same program runs on a laptop, on EMR and on Kubernetes; only the addresses differ.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as sql

LABEL = "label"


def prepare(spark: SparkSession, raw: str, prepared: str) -> None:
    """Read CSV with a header from ``raw``, and write ``train`` and ``test`` below ``prepared``."""
    rows = spark.read.csv(raw, header=True, inferSchema=True).dropna().cache()
    measures = [name for name in rows.columns if name != LABEL]
    summary = rows.select(
        *(sql.mean(name).alias(f"mean_{i}") for i, name in enumerate(measures)),
        *(sql.stddev_pop(name).alias(f"deviation_{i}") for i, name in enumerate(measures)),
    ).first()
    assert summary is not None
    scaled = rows.select(
        *(
            ((sql.col(name) - summary[f"mean_{i}"]) / (summary[f"deviation_{i}"] or 1.0)).alias(name)
            for i, name in enumerate(measures)
        ),
        sql.col(LABEL),
    )
    train, test = scaled.randomSplit([0.8, 0.2], seed=7)
    for name, part in (("train", train), ("test", test)):
        part.write.csv(f"{prepared.rstrip('/')}/{name}", header=True, mode="overwrite")


if __name__ == "__main__":
    session = SparkSession.builder.appName("prepare").getOrCreate()
    try:
        prepare(session, *sys.argv[1:3])
    finally:
        session.stop()
