"""Where things are in the bucket, and what names they may have.

- ``<model>/versions/<number>.json``: the version itself, its metadata and the list of its files.
- ``<model>/versions/<number>.quarantine``: why the version must not be used; written by the check behind the bucket.
- ``<model>/packages/<number>/<digest>/<path>``: the files, below a digest of all of them.
"""

import re

from model_repository.errors import RepositoryError

MODEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[^/]+/versions/([1-9][0-9]{0,8})\.(json|quarantine)")

FOLDERS = ("model", "feature_extractor", "sample")
"""The folders of a package; each of them holds at least one file."""


def check_model(model: str) -> None:
    """Refuse what cannot name a model."""
    if not MODEL.fullmatch(model):
        raise RepositoryError(
            f"model: must be 1 to 63 lower-case letters, digits and hyphens, neither first nor last a hyphen, "
            f"got {model!r}; rename it"
        )


def versions_prefix(model: str) -> str:
    return f"{model}/versions/"


def document_key(model: str, number: int) -> str:
    return f"{model}/versions/{number}.json"


def quarantine_key(model: str, number: int) -> str:
    return f"{model}/versions/{number}.quarantine"


def package_prefix(model: str, number: int, digest: str) -> str:
    return f"{model}/packages/{number}/{digest}/"


def parse_version(key: str) -> tuple[int, str] | None:
    """The number and kind (``json`` or ``quarantine``) of a key below ``versions/``; None for any other key."""
    match = _VERSION.fullmatch(key)
    return (int(match[1]), match[2]) if match else None
