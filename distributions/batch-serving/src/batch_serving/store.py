"""Addresses in S3, and the operations of a run on them. None overwrites an object."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from batch_serving.errors import BatchError

_ATTEMPTS = 5
_ADDRESS = re.compile(r"s3://(?P<bucket>[^/\s]+)/(?P<key>\S+)")
_FIXES = {
    "NoSuchBucket": "correct the name of the bucket",
    "NoSuchKey": "the object was deleted; restore it, or start another run",
    "PreconditionFailed": "the object changed since the run began; start another run",
    "AccessDenied": "grant the role of the job access to it",
    "403": "grant the role of the job access to it",
}


@dataclass(frozen=True)
class Address:
    """An object or a folder in S3."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, option: str, text: str) -> "Address":
        """From ``s3://BUCKET/KEY``.

        :param option: that has the address, for the message.
        :raises BatchError: for another form.
        """
        found = _ADDRESS.fullmatch(text)
        if not found:
            raise BatchError(f"{option}: must be s3://BUCKET/PATH, got {text!r}")
        return cls(found["bucket"], found["key"])

    def __truediv__(self, name: str) -> "Address":
        return Address(self.bucket, f"{self.key.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Store:
    """S3.

    :param client: a boto3 client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def files(self, address: Address) -> list[dict[str, Any]]:
        """Key and entity tag of each non-empty object at the address, or below it if it is a folder."""
        with _explained(address):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=address.bucket, Prefix=address.key)
            found = [item for page in pages for item in page.get("Contents", [])]
        folder = f"{address.key.rstrip('/')}/"
        mine = [item for item in found if item["Key"] == address.key or item["Key"].startswith(folder)]
        return [{"key": item["Key"], "etag": item["ETag"]} for item in mine if item["Size"]]

    def names(self, folder: Address) -> set[str]:
        """Names of the objects directly in a folder."""
        return {item["key"].rpartition("/")[2] for item in self.files(folder)}

    def read(self, address: Address) -> Any:
        """A JSON object; None where there is none."""
        with _explained(address):
            try:
                body = self._client.get_object(Bucket=address.bucket, Key=address.key)["Body"].read()
            except ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    return None
                raise
        return json.loads(body)

    def create(self, address: Address, body: bytes) -> bool:
        """Write an object; False where there is one already."""
        with _explained(address):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._client.put_object(Bucket=address.bucket, Key=address.key, Body=body, IfNoneMatch="*")
                    return True
                except ClientError as error:
                    if _code(error) == "PreconditionFailed":
                        return False
                    if _code(error) != "ConditionalRequestConflict" or attempt == _ATTEMPTS:
                        raise
                time.sleep(attempt / 10)  # another pod writes the same object
        return True

    def lines(self, address: Address, etag: str) -> Iterator[bytes]:
        """The lines of an object that has not changed."""
        with _explained(address):
            body = self._client.get_object(Bucket=address.bucket, Key=address.key, IfMatch=etag)["Body"]
            yield from body.iter_lines(64 * 1024)


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """AWS's errors in one line: place, value, fix."""
    try:
        yield
    except BotoCoreError as error:
        raise BatchError(f"{address}: {error}; check credentials, region and network") from None
    except ClientError as error:
        code = _code(error)
        raise BatchError(f"{address}: {code}; {_FIXES.get(code, 'try again')}") from None


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
