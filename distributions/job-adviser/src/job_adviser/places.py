"""Places in S3, and the errors of S3 in words."""

import re
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from job_adviser.errors import AdviserError, InvalidRequest, NotFound, NotPermitted

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MOST_BYTES = 1024


@dataclass(frozen=True)
class Place:
    """A bucket and a prefix or key in it."""

    bucket: str
    path: str

    @classmethod
    def parse(cls, uri: object, *, what: str = "input") -> "Place":
        """Read ``s3://bucket/prefix``.

        :raises InvalidRequest: for anything else, and for buckets whose listing S3 does not order.
        """
        if not isinstance(uri, str) or not uri.startswith("s3://"):
            raise InvalidRequest(f"{what}: must be 's3://BUCKET/PREFIX', got {uri!r}")
        bucket, _, path = uri.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise InvalidRequest(f"{what}: {bucket!r} is not a bucket name; write 's3://BUCKET/PREFIX'")
        if bucket.endswith("--x-s3"):
            raise InvalidRequest(
                f"{what}: {bucket} is a directory bucket, which lists objects in no order; copy the data"
            )
        if len(path.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
            raise InvalidRequest(f"{what}: the prefix is longer than the {_MOST_BYTES} bytes of the longest key")
        try:
            path.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(f"{what}: the prefix is not valid Unicode, so no key starts with it") from None
        return cls(bucket, path)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.path}"


def explained(error: ClientError | BotoCoreError, place: Place) -> AdviserError:
    """An error of S3 as one of the adviser's."""
    if not isinstance(error, ClientError):
        return AdviserError(f"{place}: S3 did not answer: {error}; try again")
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    if code in ("NoSuchBucket", "NoSuchKey", "404"):
        return NotFound(f"{place}: does not exist; correct the name")
    if code in ("AccessDenied", "403", "AllAccessDisabled"):
        if "kms" in message.lower():
            return NotPermitted(f"{place}: its KMS key refuses to decrypt; allow the adviser's role kms:Decrypt")
        return NotPermitted(f"{place}: access denied; add the prefix to the adviser's inputs")
    return AdviserError(f"{place}: S3 answered {code or 'an error'}: {message}")
