"""The preparation job: writes a copy of text data to another prefix, compressed, merged, split, converted, partitioned.

A state machine runs it: ``plan`` divides the input into batches, ``run_batch`` prepares one of them, and ``finish``
writes the sums. Each is idempotent, so that it can be repeated: outputs are named by batch, and a prefix without
``_SUCCESS`` is not complete. Input and output never overlap.
"""

import bz2
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from job_adviser import parquet
from job_adviser.dataset import STATE
from job_adviser.errors import InvalidRequest, NotFound, NotUsable
from job_adviser.estimate import keys_of
from job_adviser.formats import LINES, TABULAR, Kind, kind_of_name
from job_adviser.places import Place, explained

BATCH_BYTES = 64 * 1024**2
"""Decompressed content of a batch: about a minute of a function."""
MOST_BATCHES = 3000
"""A state machine records at most 25,000 events, of which a batch takes seven.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
MOST_UNSPLITTABLE_BYTES = 1024**3
MOST_PARTITIONS = 500
"""Of one batch; each is an object of its own."""
FORMATS = ("parquet", "gzip")
_CHUNK = 1024**2
_RUN = re.compile(r"[A-Za-z0-9_-]{1,80}")
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_READABLE = ("", "gzip", "bgzip", "bzip2")


@dataclass(frozen=True)
class Request:
    """What is to be made.

    :param format: ``gzip`` keeps the format and compresses it, ``parquet`` converts CSV, TSV and JSON lines.
    :param partition_by: a column whose values become folders. Default: none.
    :param header: whether the first line of a table has the names of its columns.
    """

    run: str
    input: Place
    output: Place
    format: str = "gzip"
    partition_by: str = ""
    header: bool = True

    @classmethod
    def parse(cls, value: object) -> "Request":
        """:raises InvalidRequest: for an unknown key, a wrong value, or an output inside of the input."""
        found = keys_of(value, "prepare", ["run", "input", "output", "format", "partition_by", "header"])
        run = found.get("run")
        if not isinstance(run, str) or not _RUN.fullmatch(run):
            raise InvalidRequest(f"prepare.run: must be 1 to 80 letters, digits, hyphens and underscores, got {run!r}")
        source = Place.parse(found.get("input"))
        target = Place.parse(found.get("output"), what="output")
        if not target.path.endswith("/"):
            raise InvalidRequest(f"output: must end with '/', got {str(target)!r}; objects are written below it")
        if source.bucket == target.bucket and (
            target.path.startswith(source.path) or source.path.startswith(target.path)
        ):
            raise InvalidRequest(f"output: {target} and the input {source} overlap; choose another prefix")
        format = found.get("format", "gzip")
        if format not in FORMATS:
            raise InvalidRequest(f"prepare.format: must be one of {', '.join(FORMATS)}, got {format!r}")
        column = found.get("partition_by", "")
        if not isinstance(column, str) or (column and not _COLUMN.fullmatch(column)):
            raise InvalidRequest(f"prepare.partition_by: must be the name of a column, got {column!r}")
        header = found.get("header", True)
        if not isinstance(header, bool):
            raise InvalidRequest(f"prepare.header: must be true or false, got {header!r}")
        if not header and (column or format == "parquet"):
            raise InvalidRequest("prepare.header: must be true to convert or partition, which need names of columns")
        return cls(run, source, target, format, column, header)

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "input": str(self.input), "output": str(self.output)}


@dataclass(frozen=True)
class Part:
    """A part of one object: bytes from ``start`` to ``end``, which is its size for the last one."""

    key: str
    start: int
    end: int
    size: int


def divide(objects: Iterable[tuple[str, int]], *, batch_bytes: int = BATCH_BYTES) -> Iterator[list[Part]]:
    """Batches of about the same content, of one kind each, in the order of the keys.

    :raises NotUsable: for an object that the job cannot read, or that is too large for one function.
    """
    batch: list[Part] = []
    filled, kind_before = 0.0, None
    for key, size in objects:
        kind = kind_of_name(key)
        _check(key, size, kind)
        pieces = list(_pieces(key, size, kind, batch_bytes))
        for piece in pieces:
            content = (piece.end - piece.start) * kind.expansion
            if batch and (kind != kind_before or filled + content > batch_bytes):
                yield batch
                batch, filled = [], 0.0
            batch.append(piece)
            filled += content
            kind_before = kind
    if batch:
        yield batch


def _check(key: str, size: int, kind: Kind) -> None:
    if kind.format not in LINES or kind.compression not in _READABLE:
        raise NotUsable(
            f"{key}: is {kind}, which the preparation job does not read; it reads {', '.join(sorted(LINES))}"
        )
    if kind.compression and size > MOST_UNSPLITTABLE_BYTES:
        raise NotUsable(
            f"{key}: has {size / 1024**3:.1f} GiB in {kind.compression}, more than one function reads in its time; "
            "prepare it with a Spark job"
        )


def _pieces(key: str, size: int, kind: Kind, batch_bytes: int) -> Iterator[Part]:
    if kind.compression or size <= batch_bytes:
        yield Part(key, 0, size, size)
        return
    for start in range(0, size, batch_bytes):
        yield Part(key, start, min(start + batch_bytes, size), size)


def plan(client: Any, request: Request, *, batch_bytes: int = BATCH_BYTES) -> list[int]:
    """Write the batches below the output, and return their numbers.

    :raises AdviserError: if there is no input, or some that the job cannot read.
    """
    count = 0
    try:
        for batch in divide(_objects(client, request.input), batch_bytes=batch_bytes):
            if count == MOST_BATCHES:
                raise NotUsable(
                    f"{request.input}: has more than {MOST_BATCHES} batches of {batch_bytes // 1024**2} MiB; "
                    "prepare it with a Spark job"
                )
            body = json.dumps({**request.document(), "parts": [asdict(part) for part in batch]})
            _put(client, _state(request, f"batches/{count:05d}.json"), body.encode())
            count += 1
    except (ClientError, BotoCoreError) as error:
        raise explained(error, request.input) from None
    if not count:
        raise NotFound(f"{request.input}: there are no objects; correct the prefix")
    _put(client, _state(request, "plan.json"), json.dumps({**request.document(), "batches": count}).encode())
    return list(range(count))


def run_batch(client: Any, request: Request, number: int) -> dict[str, int]:
    """Prepare one batch. Returns the numbers of bytes read and written, and of objects."""
    document = json.loads(_get(client, _state(request, f"batches/{number:05d}.json")))
    parts = [Part(**each) for each in document["parts"]]
    kind = kind_of_name(parts[0].key)
    read = sum(part.end - part.start for part in parts)
    lines = _lines_of(client, request, parts, kind)
    outputs = _tables(lines, request, kind) if _is_table(request) else [("", _compressed(lines))]
    ending = "parquet" if request.format == "parquet" else f"{'txt' if kind.format == 'text' else kind.format}.gz"
    written = objects = 0
    for folder, body in outputs:
        place = Place(request.output.bucket, f"{request.output.path}{folder}part-{number:05d}.{ending}")
        _put(client, place, body)
        written, objects = written + len(body), objects + 1
    result = {"read": read, "written": written, "objects": objects}
    _put(client, _state(request, f"done/{number:05d}.json"), json.dumps(result).encode())
    return result


def finish(client: Any, request: Request) -> dict[str, int]:
    """Write ``_SUCCESS`` with the sums of all batches.

    :raises NotUsable: if a batch is not done.
    """
    planned = json.loads(_get(client, _state(request, "plan.json")))["batches"]
    done = progress(client, request.output, request.run)[0]
    if done != planned:
        raise NotUsable(f"{request.output}: {done} of {planned} batches are done; repeat the run")
    total = {"read": 0, "written": 0, "objects": 0}
    for number in range(planned):
        result = json.loads(_get(client, _state(request, f"done/{number:05d}.json")))
        total = {name: total[name] + result[name] for name in total}
    _put(client, Place(request.output.bucket, f"{request.output.path}_SUCCESS"), json.dumps(total).encode())
    return total


def progress(client: Any, output: Place, run: str) -> tuple[int, int]:
    """The numbers of batches done and planned; 0 and 0 before the plan is written."""
    request = Request(run, output, output)
    try:
        planned = int(json.loads(_get(client, _state(request, "plan.json")))["batches"])
    except NotFound:
        return 0, 0
    done = sum(1 for _ in _objects(client, _state(request, "done/")))
    return done, planned


def _state(request: Request, name: str) -> Place:
    return Place(request.output.bucket, f"{request.output.path}{STATE}/{request.run}/{name}")


def _is_table(request: Request) -> bool:
    return request.format == "parquet" or bool(request.partition_by)


def _objects(client: Any, place: Place) -> Iterator[tuple[str, int]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.path):
        for item in page.get("Contents", ()):
            if item["Size"]:
                yield item["Key"], item["Size"]


def _get(client: Any, place: Place) -> bytes:
    try:
        body: bytes = client.get_object(Bucket=place.bucket, Key=place.path)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise explained(error, place) from None
    return body


def _put(client: Any, place: Place, body: bytes) -> None:
    try:
        client.put_object(Bucket=place.bucket, Key=place.path, Body=body)
    except (ClientError, BotoCoreError) as error:
        raise explained(error, place) from None


def _lines_of(client: Any, request: Request, parts: Sequence[Part], kind: Kind) -> Iterator[bytes]:
    """The lines of a batch, with the header of a table once, as the first.

    :raises NotUsable: if two objects of the batch have different headers.
    """
    has_header = request.header and kind.format in ("csv", "tsv")
    header: bytes | None = None
    for part in parts:
        place = Place(request.input.bucket, part.key)
        lines = _lines(client, place, part, kind)
        if has_header:
            mine = next(lines, b"") if part.start == 0 else _first_line(client, place)
            if header is None:
                header = mine
                yield header
            elif mine.rstrip(b"\r\n") != header.rstrip(b"\r\n"):
                raise NotUsable(f"{place}: its header differs from that of {parts[0].key}; prepare the files apart")
        for line in lines:
            yield line if line.endswith(b"\n") else line + b"\n"


def _first_line(client: Any, place: Place) -> bytes:
    body = client.get_object(Bucket=place.bucket, Key=place.path, Range=f"bytes=0-{_CHUNK - 1}")["Body"].read()
    return bytes(body.partition(b"\n")[0] + b"\n")


def _lines(client: Any, place: Place, part: Part, kind: Kind) -> Iterator[bytes]:
    """The lines that begin inside of a part."""
    first = max(0, part.start - 1)
    try:
        body = client.get_object(Bucket=place.bucket, Key=place.path, Range=f"bytes={first}-")["Body"]
        position, skip = first, part.start > 0
        rest = b""
        for chunk in _decompressed(body, kind, place):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not skip and not kind.compression and position >= part.end:
                    body.close()
                    return
                if not skip:
                    yield line + b"\n"
                position, skip = position + len(line) + 1, False
        if rest and not skip and (kind.compression or position < part.end):
            yield rest
    except (ClientError, BotoCoreError) as error:
        raise explained(error, place) from None


def _decompressed(body: Any, kind: Kind, place: Place) -> Iterator[bytes]:
    try:
        if kind.compression in ("gzip", "bgzip"):
            yield from _gunzipped(body.iter_chunks(_CHUNK))
        elif kind.compression == "bzip2":
            with bz2.BZ2File(io.BytesIO(body.read())) as file:
                yield from iter(lambda: file.read(_CHUNK), b"")
        else:
            yield from body.iter_chunks(_CHUNK)
    except (zlib.error, EOFError, OSError) as error:
        raise NotUsable(f"{place}: is not whole: {error}; store it again") from None


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Content of one or several members, as gzip files that were put together have."""
    decompressor = zlib.decompressobj(wbits=31)
    is_empty = True
    for chunk in chunks:
        while chunk:
            is_empty = False
            yield decompressor.decompress(chunk)
            chunk = decompressor.unused_data
            if decompressor.eof:
                decompressor = zlib.decompressobj(wbits=31)
                is_empty = True
    if not is_empty:
        raise EOFError("it ends in the middle of a member")


def _compressed(lines: Iterable[bytes]) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as file:
        for line in lines:
            file.write(line)
    return buffer.getvalue()


def _tables(lines: Iterable[bytes], request: Request, kind: Kind) -> Iterator[tuple[str, bytes]]:
    """Folder and content of each output of a table."""
    if kind.format not in TABULAR:
        raise NotUsable(f"{request.input}: {kind} has no columns; only {', '.join(sorted(TABULAR))} can be converted")
    names, rows = _rows(lines, kind, request)
    column = request.partition_by
    if column and column not in names:
        raise NotUsable(f"{request.input}: has no column {column!r}; it has {', '.join(names[:20])}")
    groups: dict[str, list[list[str]]] = {}
    place = names.index(column) if column else -1
    for row in rows:
        groups.setdefault(row[place] if column else "", []).append(row)
        if len(groups) > MOST_PARTITIONS:
            raise NotUsable(
                f"{request.input}: {column!r} has more than {MOST_PARTITIONS} values in one batch; choose another"
            )
    kept = [number for number in range(len(names)) if number != place]
    for value, members in groups.items():
        folder = f"{column}={quote(value, safe='') or '__HIVE_DEFAULT_PARTITION__'}/" if column else ""
        if request.format == "parquet":
            typed = ((names[number], *parquet.typed([row[number] for row in members])) for number in kept)
            yield folder, parquet.write([parquet.Column(name, type, values) for name, type, values in typed])
        else:
            yield folder, _compressed(_text(names, kept, members, kind))


def _text(names: Sequence[str], kept: Sequence[int], rows: Sequence[Sequence[str]], kind: Kind) -> Iterator[bytes]:
    if kind.format == "jsonl":
        for row in rows:
            yield (json.dumps({names[number]: row[number] for number in kept}, ensure_ascii=False) + "\n").encode()
        return
    for row in (names, *rows):
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=_delimiter(kind), lineterminator="\n").writerow([row[number] for number in kept])
        yield buffer.getvalue().encode()


def _rows(lines: Iterable[bytes], kind: Kind, request: Request) -> tuple[list[str], Iterable[list[str]]]:
    """Names of columns, and rows of texts.

    :raises NotUsable: for a row with another number of values, or JSON that is not an object.
    """
    try:
        if kind.format == "jsonl":
            return _json_rows(lines, request)
        texts = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(lines))
        reader = csv.reader(texts, delimiter=_delimiter(kind), strict=True)
        names = next(reader, [])
        rows = []
        for row in reader:
            if row and len(row) != len(names):
                raise NotUsable(
                    f"{request.input}: a row has {len(row)} values for {len(names)} columns: {','.join(row)[:60]!r}"
                )
            if row:
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotUsable(f"{request.input}: is not a table in UTF-8 with a record a line: {error}") from None
    if not names or len(set(names)) != len(names):
        raise NotUsable(f"{request.input}: the names of the columns must be there, once each, got {names[:20]}")
    return names, rows


def _json_rows(lines: Iterable[bytes], request: Request) -> tuple[list[str], Iterable[list[str]]]:
    found = []
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise NotUsable(f"{request.input}: a line is not a JSON object: {line[:60]!r}")
        found.append(row)
    names = sorted({name for row in found for name in row})
    return names, [[_as_text(row.get(name)) for name in names] for row in found]


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _delimiter(kind: Kind) -> str:
    return "\t" if kind.format == "tsv" else ","
