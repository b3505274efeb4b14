"""An S3 bucket in memory with S3's order of keys, page size, conditions and errors, for many objects and many runs."""

import io
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

PAGE = 1000


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@dataclass
class MemoryS3:
    """One bucket, ``data``.

    :param sizes: key to size, for objects whose content does not matter.
    :param refuses: key to the error of reading it.
    :param seconds: time that each listing takes.

    - ``most_at_once``: the largest number of listings at the same time.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    refuses: Mapping[str, ClientError] = field(default_factory=dict)
    listing_refused: ClientError | None = None
    seconds: float = 0.0
    page: int = PAGE
    requests: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._sorted: list[str] | None = None
        self._at_once = 0

    def _keys(self) -> list[str]:
        with self._lock:
            if self._sorted is None or len(self._sorted) != len(self.contents) + len(self.sizes):
                self._sorted = sorted([*self.contents, *self.sizes], key=lambda key: key.encode())
            return self._sorted

    def list_objects_v2(self, *, Bucket: str, Prefix: str = "", StartAfter: str = "") -> dict[str, Any]:
        if Bucket != "data":
            raise refusal("NoSuchBucket")
        if self.listing_refused:
            raise self.listing_refused
        with self._lock:
            self.requests += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.seconds)
        with self._lock:
            self._at_once -= 1
        keys = self._keys()
        first = bisect_right(keys, StartAfter.encode(), key=lambda key: key.encode()) if StartAfter else 0
        found: list[dict[str, Any]] = []
        for key in keys[first:]:
            if not key.startswith(Prefix):
                continue
            if len(found) == self.page:
                return {"Contents": found, "IsTruncated": True}
            size = self.sizes[key] if key in self.sizes else len(self.contents[key])
            found.append({"Key": key, "Size": size, "StorageClass": self.classes.get(key, "STANDARD")})
        return {"Contents": found, "IsTruncated": False}

    def get_paginator(self, name: str) -> "MemoryS3":
        assert name == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        start = ""
        while True:
            page = self.list_objects_v2(Bucket=Bucket, Prefix=Prefix, StartAfter=start)
            yield page
            if not page["IsTruncated"]:
                return
            start = page["Contents"][-1]["Key"]

    def get_object(self, *, Bucket: str, Key: str, Range: str = "bytes=0-") -> dict[str, Any]:
        if Key in self.refuses:
            raise self.refuses[Key]
        if Key in self.sizes:
            body = b"\x00" * min(self.sizes[Key], 1024)
        elif Key in self.contents:
            body = self.contents[Key]
        else:
            raise refusal("NoSuchKey")
        first, _, last = Range.removeprefix("bytes=").partition("-")
        body = body[int(first) : int(last) + 1 if last else None]
        encryption = {"ServerSideEncryption": "aws:kms"}
        return {
            "Body": StreamingBody(io.BytesIO(body), len(body)),
            "Metadata": self.metadata.get(Key, {}),
            **encryption,
        }

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        self.contents[Key] = Body
