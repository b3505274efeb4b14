"""A run: every row of a data set gets one prediction, however often the run is interrupted.

Its plan is written first and never changes: which files, in which state, and which model version. The rows are divided
into parts by the plan alone. The predictions of a part go to the sinks, where a repetition replaces like with like, and
then to one object, which is created in one request or not at all. A part with an object is done.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from batch_serving.errors import BatchError
from batch_serving.predictor import Predictor, UnpredictableRecord
from batch_serving.store import Address, Store

_PLAN, _DONE = "run.json", "_SUCCESS.json"


@dataclass(frozen=True)
class Summary:
    """A completed run.

    :param rows: how many predictions it has.
    :param parts: how many objects hold them.
    """

    model: str
    version: int
    rows: int
    parts: int


class Sink(Protocol):
    """A place next to S3 that keeps the newest prediction by model and id of the record."""

    def put(self, predictions: Sequence[Mapping[str, Any]], *, run: str, started: str) -> None:
        """Write predictions, unless a later run was first.

        :param started: when the run began; a repetition has the same time.
        """
        ...


@dataclass(frozen=True)
class Run:
    """A run, new or interrupted.

    :param store: S3.
    :param data: a file or a folder of JSON lines.
    :param predictions: a folder; the run has one of its own in it.
    :param name: of the run. The same name continues it.
    :param model: name of the model.
    :param newest: returns the version to use, if the run is new.
    :param load: returns the model of a version.
    :param sinks: get the predictions, too, in this order. Default: none.
    :param id_field: field of a record that identifies it. Default: ``id``; records without are called by file and row.
    :param rows_per_part: rows whose predictions are written together. Default: 1000.
    """

    store: Store
    data: Address
    predictions: Address
    name: str
    model: str
    newest: Callable[[], int]
    load: Callable[[int], AbstractContextManager[Predictor]]
    sinks: Sequence[Sink] = ()
    id_field: str = "id"
    rows_per_part: int = 1000

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise BatchError(f"--run: must be a name without '/', got {self.name!r}")
        if self.rows_per_part < 1:
            raise BatchError(f"--rows-per-part: must be 1 or more, got {self.rows_per_part}")

    @property
    def folder(self) -> Address:
        """Where the run keeps its plan and its predictions."""
        return self.predictions / self.name

    def complete(self) -> Summary:
        """Do what is left to do. A run that is complete stays as it is.

        :raises BatchError: for a data set that changed, a record that the model refuses, or another run of this name.
        """
        plan = self._plan()
        if done := self.store.read(self.folder / _DONE):
            return Summary(**done)
        there, ids = self.store.names(self.folder), set[str]()
        rows = parts = 0
        with ExitStack() as stack:
            predictor: Predictor | None = None
            for name, place, records in self._parts(plan):
                rows, parts = rows + len(records), parts + 1
                if self.sinks:
                    self._check_ids(place, records, ids)
                if name in there:
                    continue
                predictor = predictor or stack.enter_context(self.load(plan["version"]))
                self._write(name, place, records, predictor, plan)
        summary = Summary(self.model, plan["version"], rows, parts)
        self.store.create(self.folder / _DONE, json.dumps(asdict(summary)).encode())
        return summary

    @staticmethod
    def _check_ids(place: str, records: Sequence[tuple[str, Any]], ids: set[str]) -> None:
        """A sink keeps one prediction for each id, so a second record with the same id would replace the first."""
        for id, _ in records:
            if id in ids:
                raise BatchError(
                    f"{place}: two records have the id {id!r}; correct the data, or leave --table and --database out"
                )
            ids.add(id)

    def _plan(self) -> dict[str, Any]:
        address = self.folder / _PLAN
        asked = {"model": self.model, "data": str(self.data), "id_field": self.id_field}
        plan = self.store.read(address)
        if plan is None:
            files = sorted(self.store.files(self.data), key=lambda file: str(file["key"]))
            if not files:
                raise BatchError(f"--data: {self.data} has no file with content; correct the address")
            plan = {
                **asked,
                "version": self.newest(),
                "rows_per_part": self.rows_per_part,
                "started": datetime.now(UTC).isoformat(timespec="microseconds"),
                "files": files,
            }
            if not self.store.create(address, json.dumps(plan, indent=2).encode()):
                plan = self.store.read(address)  # another pod of the run was first
        for key, value in asked.items():
            if plan[key] != value:
                raise BatchError(
                    f"--run: {self.name!r} exists with {key} {plan[key]!r}, not {value!r}; give another name, or the "
                    "same values"
                )
        found: dict[str, Any] = plan
        return found

    def _parts(self, plan: dict[str, Any]) -> Iterator[tuple[str, str, list[tuple[str, Any]]]]:
        """Name of the object, place in messages, and the records with their ids."""
        for number, file in enumerate(plan["files"]):
            address = Address(self.data.bucket, file["key"])
            lines = enumerate(self.store.lines(address, file["etag"]), 1)
            rows = ((row, line) for row, line in lines if line.strip())
            for part in itertools.count():
                chunk = list(itertools.islice(rows, plan["rows_per_part"]))
                if not chunk:
                    break
                records = [self._record(address, row, line) for row, line in chunk]
                yield f"part-{number:05}-{part:05}.jsonl", f"{address}:{chunk[0][0]}", records

    def _record(self, address: Address, row: int, line: bytes) -> tuple[str, Any]:
        try:
            record = json.loads(line)
        except ValueError:
            raise BatchError(f"{address}:{row}: is not JSON; correct the line, and start another run") from None
        id = record.get(self.id_field) if isinstance(record, dict) else None
        return (f"{address.key}:{row}" if id is None else str(id)), record

    def _write(
        self,
        name: str,
        place: str,
        records: Sequence[tuple[str, Any]],
        predictor: Predictor,
        plan: dict[str, Any],
    ) -> None:
        try:
            predictions = predictor([record for _, record in records])
        except UnpredictableRecord as refused:
            id = records[refused.number][0]
            raise BatchError(
                f"{place}: record {id!r}: {refused}; correct the record or the model, and start another run"
            ) from None
        found = [
            {"id": id, "prediction": prediction, "model": plan["model"], "version": plan["version"]}
            for (id, _), prediction in zip(records, predictions, strict=True)
        ]
        for sink in self.sinks:
            sink.put(found, run=self.name, started=plan["started"])
        body = "".join(f"{json.dumps(each)}\n" for each in found).encode()
        self.store.create(self.folder / name, body)
