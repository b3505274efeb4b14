"""The check of the model bucket: verifies that versions are complete, and deletes unused files.

It runs on the events of the bucket, for their version, and once a day for all versions, so that a lost event delays it
by a day at most. Its actions depend only on the stored objects, not on the event, and are idempotent.

- A published version with all files and correct checksums is usable. Other files under its number are deleted: they
  belong to publishers that lost the race for the number.
- Otherwise the version is quarantined: the object ``<number>.quarantine`` contains the reason, readers refuse the
  version, and the metric raises an alarm. When the problem is fixed, the next check removes the quarantine.
- The files of a withdrawn version are deleted.
- Files under a number without a document belong to a running or an aborted publisher. After ABANDONED_DAYS the number
  is withdrawn, on the condition that it still has no document. A publisher that continues later is refused, so that
  files of a published version are never deleted.

Environment: BUCKET, ABANDONED_DAYS, METRIC_NAMESPACE.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import ClientError

SCHEMA_ID = "urn:mlplatform:model-version:1"
FOLDERS = ("model", "feature_extractor", "sample")
DELETED = "its document was deleted; restore it, or withdraw the version"

_KEY = re.compile(
    r"(?P<model>[a-z0-9][-a-z0-9]*)/(versions/(?P<document>[1-9]\d*)\.json|packages/(?P<file>[1-9]\d*)/.+)"
)
_NUMBERS = re.compile(r"[^/]+/(?:versions/([1-9]\d*)\.(json|quarantine)|packages/([1-9]\d*)/)")
_THREADS = 16
_KEYS_A_DELETE = 1000


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Check the version that an S3 event is about, or all versions for any other event."""
    check = Check(
        boto3.client("s3"), os.environ["BUCKET"], abandoned=timedelta(days=float(os.environ["ABANDONED_DAYS"]))
    )
    about_one = event.get("source") == "aws.s3"
    problems = check.one(event["detail"]["object"]["key"]) if about_one else check.all()
    for problem in problems:
        print(problem)
    print(json.dumps(_metric(os.environ["METRIC_NAMESPACE"], os.environ["BUCKET"], len(problems))))
    return {"problems": problems}


class Check:
    """The versions of one bucket.

    :param abandoned: age of the newest file below a number without a document, after which the number is given up.
    """

    def __init__(self, s3: Any, bucket: str, *, abandoned: timedelta) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._abandoned = abandoned

    def one(self, key: str) -> list[str]:
        """Check the version that ``key`` belongs to. :returns: its problems."""
        match = _KEY.fullmatch(key)
        if not match:
            return []
        model, number = match["model"], int(match["document"] or match["file"])
        if self._had_document(model, number):
            return self._check(model, number)
        return []

    def all(self) -> list[str]:
        """Check every version, and withdraw abandoned numbers. :returns: the problems."""
        problems: list[str] = []
        for folder in self._folders(""):
            documents, marked, started = self._numbers(folder)
            model = folder.rstrip("/")
            for number in sorted(documents | marked | started):
                if number in documents | marked or self._had_document(model, number):
                    problems += self._check(model, number)
                else:
                    self._give_up(model, number)
        return problems

    def _check(self, model: str, number: int) -> list[str]:
        """Compare a version that has, or had, a document with what is stored."""
        text = self._read(f"{model}/versions/{number}.json")
        if text is None:
            return self._quarantine(model, number, DELETED)
        document = _parse(text)
        files: dict[str, dict[str, Any]] = {}
        if not _is_withdrawn(document, model, number):
            files, problem = _files(document, model, number)
            problem = problem or self._compare_all(files)
            if problem:
                return self._quarantine(model, number, problem)
        stored = [key for key, _ in self._objects(f"{model}/packages/{number}/")]
        self._delete([key for key in stored if key not in files])
        self._release(model, number)
        return []

    def _compare_all(self, files: Mapping[str, Mapping[str, Any]]) -> str | None:
        """The first thing that is wrong with the files."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return next((problem for problem in pool.map(self._compare, files, files.values()) if problem), None)

    def _compare(self, key: str, file: Mapping[str, Any]) -> str | None:
        """What is wrong with one file."""
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) == "404":
                return f"{file['path']} is missing; restore it"
            raise
        if (head["ContentLength"], head.get("ChecksumSHA256")) != (file["size"], file["checksum"]):
            return f"{file['path']} is not what was published; restore an earlier version of it"
        return None

    def _quarantine(self, model: str, number: int, problem: str) -> list[str]:
        marker = f"{model}/versions/{number}.quarantine"
        if self._read(marker) != problem.encode():
            self._s3.put_object(Bucket=self._bucket, Key=marker, Body=problem.encode(), ContentType="text/plain")
        return [f"{model} {number}: {problem}"]

    def _release(self, model: str, number: int) -> None:
        marker = f"{model}/versions/{number}.quarantine"
        if self._read(marker) is not None:
            self._delete([marker])

    def _give_up(self, model: str, number: int) -> None:
        """Withdraw an abandoned number, then delete its files."""
        newest = max((modified for _, modified in self._objects(f"{model}/packages/{number}/")), default=None)
        if newest is None or datetime.now(UTC) - newest < self._abandoned:
            return
        document = {
            "schema": SCHEMA_ID,
            "model": model,
            "version": number,
            "withdrawn_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "reason": "abandoned by its publisher before it was complete",
        }
        body = json.dumps(document, indent=2, sort_keys=True).encode()
        key = f"{model}/versions/{number}.json"
        try:
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
            )
        except ClientError as error:
            if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                return  # its publisher was alive after all
            raise
        self._delete([key for key, _ in self._objects(f"{model}/packages/{number}/")])

    def _had_document(self, model: str, number: int) -> bool:
        """Whether there is a document, or was one that the versioned bucket remembers."""
        key = f"{model}/versions/{number}.json"
        answer = self._s3.list_object_versions(Bucket=self._bucket, Prefix=key, MaxKeys=1)
        return bool(answer.get("Versions") or answer.get("DeleteMarkers"))

    def _numbers(self, folder: str) -> tuple[set[int], set[int], set[int]]:
        """The numbers of a model that have a document, a quarantine mark, and files."""
        keys = [key for key, _ in self._objects(f"{folder}versions/")] + self._folders(f"{folder}packages/")
        found = [match for match in map(_NUMBERS.fullmatch, keys) if match]
        documents = {int(match[1]) for match in found if match[2] == "json"}
        marked = {int(match[1]) for match in found if match[2] == "quarantine"}
        return documents, marked, {int(match[3]) for match in found if match[3]}

    def _read(self, key: str) -> bytes | None:
        """A small object; None when there is none."""
        try:
            body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return None
            raise
        return body

    def _objects(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for item in page.get("Contents", []):
                yield item["Key"], item["LastModified"]

    def _folders(self, prefix: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
        return [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]

    def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), _KEYS_A_DELETE):
            objects = [{"Key": key} for key in keys[start : start + _KEYS_A_DELETE]]
            answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            if answer.get("Errors"):
                raise RuntimeError(f"could not delete: {answer['Errors'][:3]}")


def _parse(text: bytes) -> Any:
    """The document, or None when it is not even JSON."""
    with suppress(ValueError):
        return json.loads(text)
    return None


def _is_withdrawn(document: Any, model: str, number: int) -> bool:
    return isinstance(document, dict) and "withdrawn_at" in document and _is_of(document, model, number)


def _is_of(document: Mapping[str, Any], model: str, number: int) -> bool:
    return (document.get("schema"), document.get("model"), document.get("version")) == (SCHEMA_ID, model, number)


def _files(document: Any, model: str, number: int) -> tuple[dict[str, dict[str, Any]], str | None]:
    """The files that a document names, by key; and what is wrong with the document itself."""
    if not isinstance(document, dict) or not _is_of(document, model, number):
        return {}, "its document is not of this version; restore an earlier version of it"
    try:
        package = document["package"]
        prefix = f"{model}/packages/{number}/{package['digest']}/"
        files = {
            prefix + file["path"]: {name: file[name] for name in ("path", "size", "checksum")}
            for file in package["files"]
        }
    except (KeyError, TypeError):
        files = {}
    folders = {key.removeprefix(prefix).partition("/")[0] for key in files} if files else set()
    if not document.get("metadata") or not folders.issuperset(FOLDERS):
        return {}, "its document lacks metadata or files; restore an earlier version of it"
    return files, None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _metric(namespace: str, bucket: str, quarantined: int) -> dict[str, Any]:
    """A log line that CloudWatch reads as a metric.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    metric = {"Name": "QuarantinedVersions", "Unit": "Count"}
    directive = {"Namespace": namespace, "Dimensions": [["Bucket"]], "Metrics": [metric]}
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "Bucket": bucket,
        "QuarantinedVersions": quarantined,
    }
