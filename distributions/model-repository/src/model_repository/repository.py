"""Publish, read, list and withdraw versions."""

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from model_repository import layout, schema
from model_repository.errors import Conflict, Damaged, NoSuchVersion, RepositoryError
from model_repository.package import DOCUMENT, METADATA, PART_BYTES, File, Package
from model_repository.schema import Document
from model_repository.self_test import DEFAULT_SECONDS, run_self_test
from model_repository.store import ObjectStore


@dataclass(frozen=True)
class Published:
    """What :meth:`Repository.publish` did.

    :param document: the version.
    :param created: False when the newest version held this very package already, as after a retry.
    """

    document: Document
    created: bool


@dataclass(frozen=True)
class Listed:
    """One line of :meth:`Repository.versions`.

    :param document: None when the version is quarantined.
    :param problem: why it is quarantined, else None.
    """

    number: int
    state: Literal["published", "withdrawn", "quarantined"]
    document: Document | None = None
    problem: str | None = None


@dataclass(frozen=True)
class _Numbers:
    """The version numbers of a model that have a document, and those that have a quarantine marker."""

    documents: frozenset[int]
    quarantined: frozenset[int]

    @property
    def next(self) -> int:
        return max(self.documents | self.quarantined, default=0) + 1


class Repository:
    """The model versions in one bucket.

    :param bucket: name of the bucket.
    :param client: a boto3 S3 client. Default: a new one, with the credentials and region that boto3 finds.
    :param part_bytes: files above this size are uploaded in parts of this size. Default: that of the format; other
        sizes give other checksums and are for tests.
    """

    def __init__(self, bucket: str, *, client: Any = None, part_bytes: int = PART_BYTES) -> None:
        self._store = ObjectStore(bucket, client=client, part_bytes=part_bytes)

    def publish(
        self,
        package: Package,
        *,
        model: str,
        number: int | None = None,
        self_test: bool = True,
        seconds: float = DEFAULT_SECONDS,
    ) -> Published:
        """Store ``package`` as a new version of ``model``.

        Files first, the document last: until it is written, in one atomic operation, there is no version, and a retry
        continues with the uploaded files.

        :param number: the version's number. Default: one above the highest ever used.
        :param self_test: run the sample first and refuse a package that fails. Default: yes.
        :param seconds: how long the self-test may take.
        :raises Conflict: if the number is taken; nothing was published.
        """
        layout.check_model(model)
        numbers = self._numbers(model)
        if number is None:
            repeated = self._newest_if_equal(package, model, numbers)
            if repeated:
                return Published(repeated, created=False)
            number = numbers.next
        elif number in numbers.documents | numbers.quarantined:
            return self._taken(package, model, number, numbers)
        elif not 1 <= number <= 999_999_999:
            raise RepositoryError(f"number: must be 1 to 999999999, got {number}; leave it out for the next one")

        tested: Document = {"outcome": "not run"}
        if self_test:
            report = run_self_test(package, seconds=seconds)
            tested = {
                "outcome": "passed",
                "records": report.records,
                "milliseconds_per_record": report.milliseconds_per_record,
            }
        prefix = layout.package_prefix(model, number, package.digest)
        for file in package.files:
            self._store.upload(prefix + file.path, package.folder / file.path, file)
        document = schema.published(
            model=model, number=number, metadata=package.metadata, package=_describe(package), self_test=tested
        )
        if self._store.create(layout.document_key(model, number), schema.to_json(document)):
            return Published(document, created=True)
        return self._taken(package, model, number, _Numbers(frozenset((number,)), frozenset()))

    def get(self, model: str, number: int | None = None) -> Document:
        """The document of a version that may be used.

        :param number: Default: the newest.
        :raises NoSuchVersion: if there is none, or it was withdrawn.
        :raises Damaged: if the version is quarantined, or its document cannot be read.
        """
        layout.check_model(model)
        numbers = self._numbers(model)
        if number is None:
            return self._newest(model, numbers)
        if number in numbers.quarantined and (problem := self._problem(model, number)):
            raise Damaged(f"{model} {number}: quarantined: {problem}; use another version")
        if number not in numbers.documents | numbers.quarantined:
            raise NoSuchVersion(f"{model} {number}: no such version; there are {_ranges(numbers.documents)}")
        document, _ = self._read(model, number)
        if schema.is_withdrawn(document):
            raise NoSuchVersion(
                f"{model} {number}: withdrawn at {document['withdrawn_at']}: {document['reason']}; use another version"
            )
        return document

    def versions(self, model: str) -> list[Listed]:
        """All versions that ever were, oldest first."""
        layout.check_model(model)
        numbers = self._numbers(model)
        return [self._listed(model, number, numbers) for number in sorted(numbers.documents | numbers.quarantined)]

    def models(self) -> list[str]:
        """The names of all models; needs to be allowed to list the whole bucket."""
        return [name for name in self._store.folders() if layout.MODEL.fullmatch(name)]

    def fetch(
        self,
        model: str,
        number: int | None = None,
        *,
        to: Path | str,
        self_test: bool = False,
        seconds: float = DEFAULT_SECONDS,
    ) -> Document:
        """Read a version back into the new folder ``to``, comparing every checksum. It is made whole or not at all.

        :param number: Default: the newest.
        :param self_test: run the sample on what was read, which runs code of the package. Default: no.
        :param seconds: how long the self-test may take.
        :raises Damaged: if something is not as it was published.
        """
        target = Path(to)
        if target.exists():
            raise RepositoryError(f"{target}: exists; name a folder that does not")
        document = self.get(model, number)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            folder = Path(scratch) / "package"
            try:
                self._download(document, folder)
            except Damaged:
                self.get(model, document["version"])  # raises if it was withdrawn or quarantined in the meantime
                raise
            if self_test:
                run_self_test(Package.read(folder), seconds=seconds)
            os.rename(folder, target)
        return document

    def withdraw(self, model: str, number: int, *, reason: str) -> Document:
        """Withdraw a version permanently. Its number is not reused; the check of the bucket deletes its files.

        :param reason: the reason that readers of the version see from now on.
        """
        layout.check_model(model)
        if not reason.strip():
            raise RepositoryError("reason: must not be empty; give the reason of the withdrawal")
        numbers = self._numbers(model)
        key = layout.document_key(model, number)
        body = schema.to_json(document := schema.withdrawn(model=model, number=number, reason=reason))
        if number not in numbers.documents | numbers.quarantined:
            raise NoSuchVersion(f"{model} {number}: no such version; there are {_ranges(numbers.documents)}")
        if number not in numbers.documents:  # its document was deleted past the repository
            done = self._store.create(key, body)
        else:
            text, etag = self._store.read(key)
            with suppress(Damaged):  # an unreadable document can also be withdrawn
                if schema.is_withdrawn(earlier := self._parse(model, number, text)):
                    return earlier
            done = self._store.replace(key, body, etag)
        if not done:
            raise Conflict(f"{model} {number}: changed meanwhile; look at it again")
        return document

    def uri(self, document: Document, path: str = "") -> str:
        """Where a file or folder of a version is, for programs that read S3 themselves."""
        key = layout.package_prefix(document["model"], document["version"], document["package"]["digest"])
        return self._store.uri(key + path)

    def _numbers(self, model: str) -> _Numbers:
        found = [layout.parse_version(key) for key in self._store.keys(layout.versions_prefix(model))]
        return _Numbers(
            documents=frozenset(version[0] for version in found if version and version[1] == "json"),
            quarantined=frozenset(version[0] for version in found if version and version[1] == "quarantine"),
        )

    def _read(self, model: str, number: int) -> tuple[Document, str]:
        text, etag = self._store.read(layout.document_key(model, number))
        return self._parse(model, number, text), etag

    def _parse(self, model: str, number: int, text: bytes) -> Document:
        place = self._store.uri(layout.document_key(model, number))
        document = schema.from_json(text, place=place)
        if (document["model"], document["version"]) != (model, number):
            raise Damaged(f"{place}: is of {document['model']} {document['version']}; restore an earlier version of it")
        return document

    def _newest(self, model: str, numbers: _Numbers) -> Document:
        for number in sorted(numbers.documents - numbers.quarantined, reverse=True):
            document, _ = self._read(model, number)
            if not schema.is_withdrawn(document):
                return document
        raise NoSuchVersion(f"{model}: no version that may be used; publish one")

    def _newest_if_equal(self, package: Package, model: str, numbers: _Numbers) -> Document | None:
        """The newest document when it holds this very package: the publisher died after the last step and retries."""
        with suppress(NoSuchVersion, Damaged):
            newest = self._newest(model, numbers)
            return newest if _equal(package, newest) else None
        return None

    def _taken(self, package: Package, model: str, number: int, numbers: _Numbers) -> Published:
        """The number is taken, which is well if it is by this very package."""
        if number in numbers.quarantined:
            raise Conflict(f"{model} {number}: taken by a quarantined version; leave the number out for the next one")
        document, _ = self._read(model, number)
        if schema.is_withdrawn(document):
            raise Conflict(
                f"{model} {number}: withdrawn at {document['withdrawn_at']}, and numbers are not used again; "
                "nothing was published, publish again for the next number"
            )
        if _equal(package, document):
            return Published(document, created=False)
        raise Conflict(
            f"{model} {number}: published by another at {document['created_at']}; "
            "nothing was published, publish again for the next number"
        )

    def _listed(self, model: str, number: int, numbers: _Numbers) -> Listed:
        if number in numbers.quarantined and (problem := self._problem(model, number)):
            return Listed(number, "quarantined", problem=problem)
        try:
            document, _ = self._read(model, number)
        except Damaged as error:
            return Listed(number, "quarantined", problem=str(error))
        return Listed(number, "withdrawn" if schema.is_withdrawn(document) else "published", document)

    def _problem(self, model: str, number: int) -> str | None:
        """Why a version is quarantined; None when the quarantine was lifted since the versions were listed."""
        with suppress(Damaged):
            text, _ = self._store.read(layout.quarantine_key(model, number))
            return text.decode("utf-8", "replace").strip()
        return None

    def _download(self, document: Document, folder: Path) -> None:
        prefix = layout.package_prefix(document["model"], document["version"], document["package"]["digest"])
        for entry in document["package"]["files"]:
            file = File(**entry)
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            self._store.download(prefix + file.path, path, file)
        (folder / METADATA).write_text(json.dumps(document["metadata"], indent=2) + "\n", encoding="utf-8")
        (folder / DOCUMENT).write_bytes(schema.to_json(document))


def _describe(package: Package) -> Document:
    return {"digest": package.digest, "files": [asdict(file) for file in package.files]}


def _equal(package: Package, document: Document) -> bool:
    return bool(document["metadata"] == package.metadata and document["package"] == _describe(package))


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers as a person writes them: 1-3, 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs) or "none"
