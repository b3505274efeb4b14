"""A package: the folder with model, feature extractor, sample and metadata that becomes one version."""

import base64
import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_repository.errors import RepositoryError
from model_repository.layout import FOLDERS
from model_repository.schema import explain_metadata

PART_BYTES = 64 * 1024**2
"""Files above this size are stored in parts of this size. Part of the format: checksums depend on it."""

METADATA = "metadata.json"
RECORDS = "sample/records.jsonl"
DOCUMENT = "version.json"  # what `fetch` adds for the reader; not part of a package

_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")


@dataclass(frozen=True)
class File:
    """One file of a package.

    :param path: below the package folder, with ``/``.
    :param size: in bytes.
    :param sha256: of the content, in hexadecimal.
    :param checksum: what S3 itself computes and keeps for the object, so that it can be compared without reading it:
        the same digest in base64, or for a file in parts the digest of the parts' digests and their number.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """

    path: str
    size: int
    sha256: str
    checksum: str

    @classmethod
    def read(cls, folder: Path, path: str, part_bytes: int = PART_BYTES) -> "File":
        whole = hashlib.sha256()
        parts: list[bytes] = []
        size = 0
        with (folder / path).open("rb") as stream:
            while chunk := stream.read(part_bytes):
                whole.update(chunk)
                parts.append(hashlib.sha256(chunk).digest())
                size += len(chunk)
        return cls(path, size, whole.hexdigest(), composite(parts) if len(parts) > 1 else base64_text(whole.digest()))


def base64_text(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def composite(parts: list[bytes]) -> str:
    """S3's checksum of an object that was uploaded in parts with these SHA-256 digests."""
    return f"{base64_text(hashlib.sha256(b''.join(parts)).digest())}-{len(parts)}"


@dataclass(frozen=True)
class Package:
    """A package on this machine, complete and checked. Make one with :meth:`read`."""

    folder: Path
    metadata: dict[str, Any]
    files: tuple[File, ...]

    @property
    def digest(self) -> str:
        """Identifies the files: equal packages have equal digests."""
        lines = "".join(f"{file.path}\0{file.size}\0{file.sha256}\n" for file in self.files)
        return hashlib.sha256(lines.encode("ascii")).hexdigest()

    @classmethod
    def read(cls, folder: Path | str, *, part_bytes: int = PART_BYTES) -> "Package":
        """Read and check the package in ``folder``.

        :raises RepositoryError: with every mistake, one line each.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RepositoryError(f"{folder}: no such folder; give one with {METADATA} and {', '.join(FOLDERS)}/")
        metadata, mistakes = _read_metadata(folder)
        paths, more = _list_files(folder)
        mistakes += more
        if RECORDS in paths:
            mistakes += _explain_records(folder)
        if not metadata.get("contains_pickle"):
            mistakes += [_pickle_mistake(path) for path in paths if _is_pickle(folder / path)]
        mistakes += [
            f"{METADATA}: entry_points.{role}: {entry!r} names no file of the package; correct it or add the file"
            for role, entry in _entry_points(metadata).items()
            if entry.partition(":")[0] not in paths
        ]
        if mistakes:
            raise RepositoryError("\n".join(f"{folder}/{mistake}" for mistake in mistakes))
        return cls(folder, metadata, tuple(File.read(folder, path, part_bytes) for path in paths))


def _read_metadata(folder: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        json.dumps(metadata, allow_nan=False)  # refuses 1e999, which Python reads as infinite
    except FileNotFoundError:
        return {}, [f"{METADATA}: required; a version cannot exist without its metadata, add it"]
    except (ValueError, RecursionError) as error:
        return {}, [f"{METADATA}: not valid JSON: {error}; correct it"]
    mistakes = [f"{METADATA}: {mistake}" for mistake in explain_metadata(metadata)]
    return (metadata if isinstance(metadata, dict) else {}), mistakes


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number; leave the value out or write null")


def _entry_points(metadata: dict[str, Any]) -> dict[str, str]:
    points = metadata.get("entry_points")
    return {role: entry for role, entry in points.items() if isinstance(entry, str)} if isinstance(points, dict) else {}


def _list_files(folder: Path) -> tuple[list[str], list[str]]:
    """The sorted paths of the package's files, and what is wrong with them."""
    paths: list[str] = []
    mistakes: list[str] = []
    for found in sorted(folder.rglob("*")):
        path = found.relative_to(folder).as_posix()
        if found.is_symlink():
            mistakes.append(f"{path}: is a symbolic link; put the file itself there")
        elif not found.is_file() or path in (METADATA, DOCUMENT) or "__pycache__" in found.parts:
            continue
        elif path.partition("/")[0] not in FOLDERS:
            mistakes.append(f"{path}: not part of a package; move it into {', '.join(FOLDERS)} or remove it")
        elif not _PATH.fullmatch(path):
            mistakes.append(f"{path}: names may have letters, digits and _ . - only; rename it")
        else:
            paths.append(path)
    wanted = {f"{name}/": f"{name}/: required and empty; add its files" for name in FOLDERS}
    mistakes += [text for name, text in wanted.items() if not any(path.startswith(name) for path in paths)]
    if RECORDS not in paths:
        mistakes.append(f"{RECORDS}: required; one JSON object a line with 'record' and 'prediction'")
    return paths, mistakes


def _explain_records(folder: Path) -> list[str]:
    """What is wrong with the sample."""
    lines = (folder / RECORDS).read_bytes().splitlines()
    if not lines:
        return [f"{RECORDS}: has no record; add some, with the predictions to expect"]
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return [f"{RECORDS}:{number}: not valid JSON: {error}; write one JSON object a line"]
        if not isinstance(record, dict) or set(record) != {"record", "prediction"}:
            return [f"{RECORDS}:{number}: must be an object with 'record' and 'prediction', nothing else"]
    return []


def _is_pickle(path: Path) -> bool:
    """Whether the file is a Python pickle, or an archive around one as PyTorch writes it."""
    with path.open("rb") as stream:
        if _PICKLE.match(stream.read(2)):
            return True
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _pickle_mistake(path: str) -> str:
    return (
        f"{path}: is a Python pickle, which runs code of its author when it is loaded; store the model in a format "
        'that contains only data, or set "contains_pickle": true in metadata.json'
    )
