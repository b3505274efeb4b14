"""Reads of offline features."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlplatform_components.errors import ComponentError, JobFailed
from mlplatform_components.waiting import Patience

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,254}")


@dataclass(frozen=True)
class FeatureFiles:
    """The newest whole run of a feature group.

    :param as_of: hour that the features describe, such as ``2026-07-13-06``; later events are not in them.
    :param uri: S3 prefix of the Parquet files.
    """

    as_of: str
    uri: str


def query_features(
    athena: Any, s3: Any, query: str, target: Path | str, *, database: str, work_group: str, patience: Patience
) -> int:
    """Write the answer of a query to a CSV file with a header.

    :param athena: a boto3 client of ``athena``.
    :param s3: a boto3 client of ``s3``.
    :param query: a ``SELECT`` over tables of the feature store.
    :param target: the file.
    :param work_group: of the feature store; it decides where answers are kept and how much a query may read.
    :return: bytes that were written.
    :raises ComponentError: for a statement that is no ``SELECT`` or ``WITH``.
    :raises JobFailed: if the query fails.
    :raises TimedOut: if it takes too long; it is stopped then.
    """
    if not re.match(r"\s*(SELECT|WITH)\b", query, re.IGNORECASE):
        raise ComponentError(f"query: must be a SELECT, got {query.strip()[:40]!r}")
    _check_name("database", database)
    id = athena.start_query_execution(
        QueryString=query, QueryExecutionContext={"Database": database}, WorkGroup=work_group
    )["QueryExecutionId"]

    def read() -> Any:
        return athena.get_query_execution(QueryExecutionId=id)["QueryExecution"]

    try:
        found = patience.until(read, lambda found: found["Status"]["State"] in _ENDED, f"query {id} to end")
    except BaseException:
        athena.stop_query_execution(QueryExecutionId=id)
        raise
    if found["Status"]["State"] != "SUCCEEDED":
        raise JobFailed(f"query {id}: {found['Status'].get('StateChangeReason', 'no reason given')}")
    bucket, key = found["ResultConfiguration"]["OutputLocation"].removeprefix("s3://").split("/", 1)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    s3.download_file(bucket, key, str(target))
    return Path(target).stat().st_size


def newest_features(glue: Any, *, database: str, group: str) -> FeatureFiles:
    """Where Spark and training jobs read a feature group without Athena.

    Only the location in the catalog is a whole run; other folders next to it belong to failed or replaced ones.

    :param glue: a boto3 client of ``glue``.
    :param group: name of the feature group.
    :raises ComponentError: if it was never computed.
    """
    _check_name("database", database)
    _check_name("group", group)
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=group)
    partitions = [partition for page in pages for partition in page["Partitions"]]
    if not partitions:
        raise ComponentError(f"{database}.{group}: has no features yet; start its job")
    newest = max(partitions, key=lambda partition: str(partition["Values"][0]))
    return FeatureFiles(newest["Values"][0], newest["StorageDescriptor"]["Location"])


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ComponentError(f"{what}: must be lower-case letters, digits and '_', got {name!r}")
