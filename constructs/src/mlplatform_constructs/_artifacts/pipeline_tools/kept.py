"""Storing an object that is never replaced."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from .commands import Failed, aws, setting


def sha256(path: Path) -> bytes:
    """Checksum of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def keep(path: Path, key: str, *, revision: str) -> bool:
    """Store a file under the artifact's prefix, unless it exists. S3 enforces this, and verifies the checksum.

    :return: whether it was stored; an existing file is unchanged.
    """
    bucket, prefix = setting("BUCKET"), setting("PREFIX")
    try:
        aws("s3api", "put-object", "--bucket", bucket, "--key", f"{prefix}/{key}", "--body", str(path),
            "--if-none-match", "*", "--checksum-sha256", base64.b64encode(sha256(path)).decode(),
            "--metadata", f"revision={revision}")  # fmt: skip
    except Failed as problem:
        if "PreconditionFailed" not in str(problem):
            raise
        print(f"s3://{bucket}/{prefix}/{key}: exists, unchanged")
        return False
    return True


def kept(key: str) -> tuple[str, str]:
    """Of an object that was stored: its revision, and its checksum in hexadecimal digits."""
    place = ("--bucket", setting("BUCKET"), "--key", f"{setting('PREFIX')}/{key}")
    found = aws("s3api", "head-object", *place, "--checksum-mode", "ENABLED")
    return str(found["Metadata"]["revision"]), base64.b64decode(found["ChecksumSHA256"]).hex()
