"""Reads an S3 Inventory, the list of a bucket's objects that S3 writes daily or weekly, for buckets of any size.

The files of an inventory are read in random order until time is up. If some remain unread, the numbers are
extrapolated from the files that were read, by the size of the files, with the standard error of that ratio estimate.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

import csv
import json
import math
import random
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from job_adviser.dataset import Dataset, Tally
from job_adviser.errors import InvalidRequest, NotUsable
from job_adviser.places import Place, explained

THREADS = 8
_CHUNK = 1024**2
_COLUMNS = ("Key", "Size")


@dataclass(frozen=True)
class _File:
    key: str
    size: int


def read_inventory(
    client: Any, manifest: Place, place: Place, *, seconds: float, seed: int = 0
) -> tuple[Tally, Dataset]:
    """Count the objects below a prefix by an inventory.

    :param manifest: place of the inventory's ``manifest.json``.
    :param place: prefix of the inventory's source bucket.
    :param seconds: time after which no file is begun.
    :raises AdviserError: for an inventory of another bucket, in another format than CSV, or without sizes.
    """
    until = time.monotonic() + seconds
    document = _manifest(client, manifest)
    columns = _columns(document, manifest, place)
    bucket = document["destinationBucket"].rpartition(":")[2]
    files = [_File(each["key"], int(each["size"])) for each in document["files"]]
    random.Random(seed).shuffle(files)

    def read(file: _File) -> Tally | None:
        if time.monotonic() > until:
            return None
        return _count(client, Place(bucket, file.key), columns, place.path)

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(read, files))
    counted = [(file, found) for file, found in zip(files, results, strict=True) if found is not None]
    whole = Tally()
    for _, found in counted:
        whole.merge(found)
    if len(counted) == len(files):
        return whole, whole.dataset(str(place))
    if len(counted) < 2:
        raise NotUsable(
            f"{manifest}: fewer than two of {len(files)} files could be read in {seconds:.0f} s; allow more time"
        )
    scale = sum(file.size for file in files) / sum(file.size for file, _ in counted)
    error = _error([(file.size, found.bytes) for file, found in counted], len(files))
    return whole, whole.dataset(str(place), scale=scale, error=error)


def _manifest(client: Any, manifest: Place) -> dict[str, Any]:
    try:
        body = client.get_object(Bucket=manifest.bucket, Key=manifest.path)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise explained(error, manifest) from None
    try:
        document: dict[str, Any] = json.loads(body)
        for name in ("sourceBucket", "destinationBucket", "fileFormat", "fileSchema", "files"):
            document[name]
    except (ValueError, KeyError, TypeError):
        raise InvalidRequest(f"{manifest}: not the manifest.json of an S3 Inventory; name that file") from None
    return document


def _columns(document: dict[str, Any], manifest: Place, place: Place) -> dict[str, int]:
    if document["sourceBucket"] != place.bucket:
        raise InvalidRequest(f"{manifest}: is the inventory of {document['sourceBucket']}, not of {place.bucket}")
    if document["fileFormat"] != "CSV":
        raise InvalidRequest(f"{manifest}: is in {document['fileFormat']}; configure an inventory in CSV")
    names = [name.strip() for name in document["fileSchema"].split(",")]
    if missing := [name for name in _COLUMNS if name not in names]:
        raise InvalidRequest(f"{manifest}: has no {' and no '.join(missing)}; add the optional field to the inventory")
    return {name: number for number, name in enumerate(names)}


def _count(client: Any, file: Place, columns: dict[str, int], prefix: str) -> Tally:
    """The current objects of one file."""
    found = Tally()
    key, size = columns["Key"], columns["Size"]
    latest, deleted, storage = (columns.get(name) for name in ("IsLatest", "IsDeleteMarker", "StorageClass"))
    try:
        for row in csv.reader(_lines(client.get_object(Bucket=file.bucket, Key=file.path)["Body"], file)):
            name = unquote_plus(row[key])
            if not name.startswith(prefix):
                continue
            if (latest is not None and row[latest] == "false") or (deleted is not None and row[deleted] == "true"):
                continue
            found.add(name, int(row[size] or 0), row[storage] if storage is not None else "STANDARD")
    except (ClientError, BotoCoreError) as error:
        raise explained(error, file) from None
    except (IndexError, ValueError):
        raise NotUsable(f"{file}: a row does not fit the manifest's schema; use another day's inventory") from None
    return found


def _lines(body: Any, file: Place) -> Iterator[str]:
    decompressor, rest = zlib.decompressobj(wbits=31), b""
    try:
        for chunk in body.iter_chunks(_CHUNK):
            *lines, rest = (rest + decompressor.decompress(chunk)).split(b"\n")
            yield from (line.decode() for line in lines)
        rest += decompressor.flush()
    except zlib.error:
        raise NotUsable(f"{file}: is not gzip; use another day's inventory") from None
    if rest:
        yield rest.decode()


def _error(pairs: Sequence[tuple[int, int]], files: int) -> float:
    """Relative standard error of a ratio estimate from some of ``files`` files, without replacement."""
    count = len(pairs)
    ratio = sum(value for _, value in pairs) / sum(size for size, _ in pairs)
    total = sum(value for _, value in pairs)
    if not total:
        return 0.0
    spread = sum((value - ratio * size) ** 2 for size, value in pairs) / (count - 1)
    return math.sqrt(spread * count * (1 - count / files)) / total
