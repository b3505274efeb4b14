"""Copies the files next to this code to a bucket, and deletes those that it copied before and that are gone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3

from ..._functions.custom_resource import answer

FOLDER = Path(__file__).parents[3] / "dags"
IGNORE_FILE = ".airflowignore"


def handler(event: Mapping[str, Any], _context: Any) -> None:
    """Respond to CloudFormation when the files are copied or deleted."""
    properties = event["ResourceProperties"]
    bucket, prefix = properties["Bucket"], properties["Prefix"]
    identity = f"{bucket}/{prefix}"
    try:
        deployed = DeployedFiles(boto3.client("s3"), bucket, prefix)
        if event["RequestType"] == "Delete":
            deployed.delete([*properties["Files"], IGNORE_FILE])
        else:
            deployed.copy(FOLDER, properties["Files"], properties["Ignored"])
            before = event.get("OldResourceProperties", {})
            if before.get("Bucket") == bucket:
                deployed.delete(sorted(set(before["Files"]) - set(properties["Files"])))
        answer(event, "SUCCESS", identity, "done")
    except Exception as error:
        # Report every error to CloudFormation, which would otherwise wait an hour.
        answer(event, "FAILED", identity, str(error))


class DeployedFiles:
    """Files below a prefix of a bucket. Other files below the prefix are left alone."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix

    def copy(self, folder: Path, files: Mapping[str, str], ignored: str) -> None:
        """Copy the files, and the list of folders in which Airflow looks for no DAGs."""
        self._put(IGNORE_FILE, ignored.encode())
        for name in files:
            self._put(name, (folder / name).read_bytes())

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; those that do not exist are deleted already."""
        for name in names:
            self._s3.delete_object(Bucket=self._bucket, Key=f"{self._prefix}{name}")

    def _put(self, name: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}{name}", Body=content)
