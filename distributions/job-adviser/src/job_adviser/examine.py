"""Examines data in S3: how much there is, of what kind, and whether a job could read it."""

import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from job_adviser.dataset import Dataset, Probe
from job_adviser.errors import NotFound, NotPermitted, NotUsable
from job_adviser.formats import COLUMNAR, Kind, kind_of_content, kind_of_name
from job_adviser.inventory import read_inventory
from job_adviser.listing import list_objects
from job_adviser.places import Place, explained

_HEAD_BYTES = 64 * 1024
_MOST_COLUMNS = 200
_CLIENT_SIDE = ("x-amz-key-v2", "x-amz-key", "x-amz-c", "x-amz-matdesc")
"""Metadata of objects that a client encrypted.
https://docs.aws.amazon.com/amazon-s3-encryption-client/latest/developerguide/what-is-s3-encryption-client.html"""


def examine(
    client: Any, uri: str, *, seconds: float = 20.0, inventory: str | None = None, most_objects: int = 2_000_000
) -> Dataset:
    """Examine the objects below a prefix.

    :param client: a boto3 S3 client.
    :param uri: ``s3://BUCKET/PREFIX``.
    :param seconds: time for the listing; the rest takes about a second. If it does not suffice, the numbers are lower
        bounds, or estimates if there is an inventory.
    :param inventory: ``s3://`` address of the ``manifest.json`` of an S3 Inventory of the bucket. Default: the objects
        are listed.
    :param most_objects: number of objects after which the listing ends.
    :raises AdviserError: if nothing is below the prefix, or no job could read what is.
    """
    place = Place.parse(uri)
    if inventory:
        tally, dataset = read_inventory(client, Place.parse(inventory, what="inventory"), place, seconds=seconds)
    else:
        listing = list_objects(client, place, seconds=seconds, most_objects=most_objects)
        tally = listing.tally
        dataset = tally.dataset(uri, at_least=not listing.complete)
    if not dataset.objects and dataset.at_least:
        raise NotUsable(f"{place}: the listing found no object in {seconds:.0f} s; name an S3 Inventory")
    if not dataset.objects:
        empty = f" but {dataset.empty_objects} empty ones" if dataset.empty_objects else ""
        raise NotFound(f"{place}: there are no objects{empty}; correct the prefix")
    if dataset.archived_objects == dataset.objects:
        raise NotUsable(f"{place}: all {dataset.objects} objects are archived; restore them first")
    with ThreadPoolExecutor(5) as pool:
        probes = tuple(pool.map(lambda key: probe(client, place.bucket, key), tally.keys_to_probe()))
    return with_probes(dataset, probes)


def with_probes(dataset: Dataset, probes: tuple[Probe, ...]) -> Dataset:
    """The dataset with what reading some objects showed.

    :raises AdviserError: if none of them is readable.
    """
    readable = [each for each in probes if not each.problem]
    if probes and not readable:
        raise NotPermitted("; ".join(dict.fromkeys(each.problem for each in probes)))
    renamed: dict[Kind, Kind] = {}
    for each in readable:
        renamed.setdefault(kind_of_name(each.key), each.kind)
    kinds: dict[Kind, tuple[int, int]] = {}
    for named, (count, size) in dataset.kinds.items():
        kind = renamed.get(named, named)
        before = kinds.get(kind, (0, 0))
        kinds[kind] = (before[0] + count, before[1] + size)
    expanded = sum(size * kind.expansion for kind, (_, size) in kinds.items())
    splits = dataset.splits if kinds.keys() == dataset.kinds.keys() else _splits(kinds)
    return replace(dataset, kinds=kinds, expanded_bytes=expanded, splits=splits, probes=probes)


def _splits(kinds: Mapping[Kind, tuple[int, int]]) -> int:
    return sum(
        max(count, size // (128 * 1024**2)) if kind.splittable else count for kind, (count, size) in kinds.items()
    )


def probe(client: Any, bucket: str, key: str) -> Probe:
    """Read the beginning of an object."""
    place, named = Place(bucket, key), kind_of_name(key)
    try:
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{_HEAD_BYTES - 1}")
        head = answer["Body"].read()
    except (ClientError, BotoCoreError) as error:
        return Probe(key, named, problem=_problem(error, place))
    metadata = {name.lower() for name in answer.get("Metadata", {})}
    encryption = answer.get("ServerSideEncryption", "")
    if metadata & set(_CLIENT_SIDE):
        return Probe(key, named, "client", f"{place}: was encrypted by its writer; no job here has the key")
    kind = kind_of_content(head, named)
    return Probe(key, kind, encryption, "", _compressibility(head, kind), _header(head, kind))


def _problem(error: ClientError | BotoCoreError, place: Place) -> str:
    code = error.response.get("Error", {}).get("Code", "") if isinstance(error, ClientError) else ""
    message = error.response.get("Error", {}).get("Message", "") if isinstance(error, ClientError) else ""
    if code == "InvalidObjectState":
        return f"{place}: is archived; restore it first"
    if code == "InvalidRequest" and "encrypt" in message.lower():
        return f"{place}: is encrypted with a key that its reader must provide (SSE-C); copy it without"
    return str(explained(error, place))


def _compressibility(head: bytes, kind: Kind) -> float:
    if kind.compression or kind.format in COLUMNAR or not head:
        return 1.0
    return max(1.0, len(head) / len(zlib.compress(head, 6)))


def _header(head: bytes, kind: Kind) -> tuple[str, ...]:
    """Names in the first line of a table; none if a value in it is a number."""
    if kind.compression in ("gzip", "bgzip"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
        except zlib.error:
            return ()
    elif kind.compression:
        return ()
    if kind.format not in ("csv", "tsv"):
        return ()
    line = head.partition(b"\n")[0].decode("utf-8", "replace").strip("\r\ufeff")
    names = [name.strip().strip('"') for name in line.split("\t" if kind.format == "tsv" else ",")]
    if not all(names) or len(names) > _MOST_COLUMNS or any(name.replace(".", "", 1).isdigit() for name in names):
        return ()
    return tuple(names)
