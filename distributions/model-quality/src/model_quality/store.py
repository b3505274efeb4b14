"""Files in a folder or below a prefix of a bucket, by one interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol


class InputError(Exception):
    """What is given cannot be used: place, what is wrong, and what to do."""


class Store(Protocol):
    """Files by name."""

    def names(self) -> Iterator[str]:
        """The names of all files, in order."""

    def read(self, name: str) -> str:
        """The text of one."""

    def write(self, name: str, text: str) -> None:
        """Create or replace one, at once: a reader sees the old text or the new one."""


class Folder:
    """A folder of this machine, or one file as the only file of its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path.parent if path.is_file() else path
        self._only: str | None = path.name if path.is_file() else None

    def names(self) -> Iterator[str]:
        found = (path.relative_to(self._path).as_posix() for path in self._path.rglob("*") if path.is_file())
        yield from sorted(name for name in found if self._only in (None, name))

    def read(self, name: str) -> str:
        return (self._path / name).read_text(encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)


class Bucket:
    """The objects below a prefix of a bucket. A prefix that is the key of an object stands for that object."""

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        self._bucket, self._prefix, self._client = bucket, prefix, client

    def names(self) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        keys = (found["Key"] for page in pages for found in page.get("Contents", []))
        yield from (key.removeprefix(self._prefix) for key in keys if not key.endswith("/"))

    def read(self, name: str) -> str:
        found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        text: str = found["Body"].read().decode()
        return text

    def write(self, name: str, text: str) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=text.encode())


def store_at(place: str, *, client: Any = None) -> Store:
    """The files at a place: ``s3://bucket/prefix`` or a path.

    :param client: of S3. Default: boto3's, with its usual credentials.
    :raises InputError: for an address without a bucket.
    """
    if not place.startswith("s3://"):
        return Folder(Path(place))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"{place}: names no bucket; write s3://bucket/prefix")
    if client is None:
        import boto3

        client = boto3.client("s3")
    return Bucket(bucket, prefix, client)
