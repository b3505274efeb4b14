"""The S3 operations of the repository. Each is atomic, and none overwrites an object that it has not read."""

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from model_repository.errors import Damaged, RepositoryError
from model_repository.package import PART_BYTES, File, base64_text, composite

ATTEMPTS = 5
_THREADS = 4  # each holds one part of a large file in memory
_FIXES = {
    "NoSuchBucket": "correct the name of the bucket",
    "AccessDenied": "ask for grant_read, grant_publish or grant_withdraw of this model",
    "403": "ask for grant_read, grant_publish or grant_withdraw of this model",
    "BadDigest": "the file changed while it was published; publish again when nothing writes to it",
}


class ObjectStore:
    """One bucket.

    :param bucket: its name.
    :param client: a boto3 S3 client. Default: a new one, with the credentials and region that boto3 finds.
    :param part_bytes: files above this size are uploaded in parts of this size. Default: what the format says.
    """

    def __init__(self, bucket: str, *, client: Any = None, part_bytes: int = PART_BYTES) -> None:
        self.bucket = bucket
        self.part_bytes = part_bytes
        with self._explained(""):
            self._client = client or boto3.Session().client("s3")

    def uri(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}"

    def keys(self, prefix: str) -> list[str]:
        """The keys below ``prefix``."""
        with self._explained(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def folders(self) -> list[str]:
        """The first parts of all keys."""
        with self._explained(""):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Delimiter="/")
            return [item["Prefix"].rstrip("/") for page in pages for item in page.get("CommonPrefixes", [])]

    def read(self, key: str) -> tuple[bytes, str]:
        """Content and entity tag of a small, existing object."""
        with self._explained(key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]

    def create(self, key: str, body: bytes) -> bool:
        """Write a small object unless there is one; False when there is."""
        return self._write(key, body, {"IfNoneMatch": "*"})

    def replace(self, key: str, body: bytes, etag: str) -> bool:
        """Write a small object over the one that was read with ``etag``; False when that is no longer there."""
        return self._write(key, body, {"IfMatch": etag})

    def _write(self, key: str, body: bytes, condition: dict[str, str]) -> bool:
        checksum = base64_text(hashlib.sha256(body).digest())
        kind = "application/json"
        with self._explained(key):
            for pause in _pauses():
                try:
                    self._client.put_object(
                        Bucket=self.bucket, Key=key, Body=body, ChecksumSHA256=checksum, ContentType=kind, **condition
                    )
                    return True
                except ClientError as error:
                    if _code(error) in ("PreconditionFailed", "NoSuchKey"):
                        return False
                    if not _is_race(error):
                        raise
                time.sleep(pause)
        raise RepositoryError(f"{self.uri(key)}: others keep writing it; try again later")

    def upload(self, key: str, path: Path, file: File) -> None:
        """Ensure that the object contains this file. An existing object is compared, not uploaded again.

        :raises Damaged: if the object has other content, or the file has changed since it was read.
        """
        with self._explained(key):
            for pause in _pauses():
                if self._holds(key, file):
                    return
                try:
                    self._upload(key, path, file)
                    return
                except ClientError as error:
                    if not (_code(error) == "PreconditionFailed" or _is_race(error)):
                        raise
                time.sleep(pause)
        raise RepositoryError(f"{self.uri(key)}: others keep writing it; try again later")

    def _holds(self, key: str, file: File) -> bool:
        """Whether the object exists.

        :raises Damaged: if it has other content.
        """
        try:
            head = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) in ("404", "403"):  # 403: missing, and no permission to list the prefix
                return False
            raise
        if (head["ContentLength"], head.get("ChecksumSHA256")) != (file.size, file.checksum):
            raise Damaged(f"{self.uri(key)}: is not {file.path}; it was not written by the repository, remove it")
        return True

    def _upload(self, key: str, path: Path, file: File) -> None:
        if file.size > self.part_bytes:
            self._upload_in_parts(key, path, file)
            return
        with path.open("rb") as body:
            self._client.put_object(
                Bucket=self.bucket, Key=key, Body=body, ChecksumSHA256=file.checksum, IfNoneMatch="*"
            )

    def _upload_in_parts(self, key: str, path: Path, file: File) -> None:
        place = {"Bucket": self.bucket, "Key": key}
        upload = {
            **place,
            "UploadId": self._client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"],
        }

        def send(number: int) -> tuple[dict[str, Any], bytes]:
            with path.open("rb") as stream:
                stream.seek((number - 1) * self.part_bytes)
                chunk = stream.read(self.part_bytes)
            digest = hashlib.sha256(chunk).digest()
            checksum = base64_text(digest)
            etag = self._client.upload_part(**upload, PartNumber=number, Body=chunk, ChecksumSHA256=checksum)["ETag"]
            return {"PartNumber": number, "ETag": etag, "ChecksumSHA256": checksum}, digest

        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                sent = list(pool.map(send, range(1, -(-file.size // self.part_bytes) + 1)))
            if composite([digest for _, digest in sent]) != file.checksum:
                raise Damaged(f"{path}: changed while it was published; publish again when nothing writes to it")
            parts = {"Parts": [part for part, _ in sent]}
            self._client.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")
        except Exception:
            with suppress(Exception):  # the bucket's lifecycle aborts what stays behind
                self._client.abort_multipart_upload(**upload)
            raise

    def download(self, key: str, path: Path, file: File) -> None:
        """Write the object to ``path``.

        :raises Damaged: if its content is not ``file``.
        """
        digest = hashlib.sha256()
        size = 0
        with self._explained(key), path.open("xb") as target:
            body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
            for chunk in body.iter_chunks(1024**2):
                size += len(chunk)
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        if (size, digest.hexdigest()) != (file.size, file.sha256):
            raise Damaged(
                f"{self.uri(key)}: {size} bytes with SHA-256 {digest.hexdigest()}, published were {file.size} bytes "
                f"with {file.sha256}; restore an earlier version of the object"
            )

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """AWS's errors in one line: place, value, fix."""
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise RepositoryError(f"{self.uri(key)}: {error}; sign in, or run where a role is given") from None
        except BotoCoreError as error:
            raise RepositoryError(f"{self.uri(key)}: {error}; check region, endpoint and network") from None
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                raise Damaged(f"{self.uri(key)}: is missing; restore an earlier version of the object") from None
            fix = _FIXES.get(_code(error), "see the error of AWS")
            text = error.response["Error"].get("Message", "")
            raise RepositoryError(f"{self.uri(key)}: {_code(error)}: {text}; {fix}") from None


def _pauses() -> Iterator[float]:
    """Seconds before each further attempt."""
    return (0.1 * 2**attempt for attempt in range(ATTEMPTS))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_race(error: ClientError) -> bool:
    """S3's response to concurrent conditional writes of one key; the loser must retry.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    return _code(error) == "ConditionalRequestConflict"
