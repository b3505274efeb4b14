"""Facts about data in S3, and clear refusals of data that no job could read."""

import gzip
import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_adviser import AdviserError, Dataset, NotFound, NotPermitted, NotUsable, examine
from job_adviser.dataset import Tally, tally
from job_adviser.errors import InvalidRequest
from job_adviser.formats import Kind, kind_of_content, kind_of_name
from tests.job_adviser.memory_s3 import MemoryS3, refusal

GIB = 1024**3
CSV = b"id,city,value\n" + b"".join(b"%d,Berlin,0.5\n" % number for number in range(2000))


@pytest.mark.promise("input-analysis")
def test_type_size_number_and_partitioning_are_found() -> None:
    contents = {f"t/year=2026/month={month:02d}/part-{part}.csv": CSV for month in range(1, 13) for part in range(3)}
    found = examine(MemoryS3(contents=contents), "s3://data/t/")
    assert (found.objects, found.bytes) == (36, 36 * len(CSV))
    assert found.kind == Kind("csv")
    assert found.partitions == {"year": 1, "month": 12}
    assert found.probes[0].columns == ("id", "city", "value")
    assert {probe.encryption for probe in found.probes} == {"aws:kms"}
    assert found.probes[0].compressibility > 5


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", b"a,b\n1,2\n", Kind("csv")),
        ("a.csv", gzip.compress(b"a,b\n", mtime=0), Kind("csv", "gzip")),
        ("a.csv.gz", b"a,b\n", Kind("unknown")),
        ("a", b"PAR1....", Kind("parquet")),
        ("a.parquet", b"no parquet", Kind("unknown")),
        ("part-0.snappy.parquet", b"PAR1", Kind("parquet")),
        ("genomes.vcf.bgz", b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0", Kind("vcf", "bgzip")),
        ("журнал", "событие\n".encode(), Kind("text")),
        ("blob", b"\x00\x01", Kind("unknown")),
    ],
)
def test_the_kind_is_that_of_the_content_and_not_only_of_the_name(name: str, content: bytes, kind: Kind) -> None:
    assert kind_of_content(content, kind_of_name(name)) == kind


def test_content_that_its_name_hides_changes_the_size_of_the_content() -> None:
    packed = gzip.compress(random.Random(0).randbytes(9000))
    found = examine(MemoryS3(contents={f"{number}.csv": packed for number in range(9)}), "s3://data/")
    assert found.kind == Kind("csv", "gzip")
    assert found.expanded_bytes == 9 * len(packed) * 4


@pytest.mark.promise("input-refusals")
@pytest.mark.parametrize(
    ("s3", "uri", "error", "why"),
    [
        (MemoryS3(), "s3://data/none/", NotFound, "there are no objects; correct the prefix"),
        (MemoryS3(), "s3://elsewhere/", NotFound, "does not exist"),
        (MemoryS3(sizes={"a/": 0, "a/b": 0}), "s3://data/a", NotFound, "no objects but 1 empty ones"),
        (MemoryS3(sizes={"a": 9}, classes={"a": "DEEP_ARCHIVE"}), "s3://data/a", NotUsable, "restore them first"),
        (
            MemoryS3(sizes={"a": 9}, refuses={"a": refusal("AccessDenied")}),
            "s3://data/a",
            NotPermitted,
            "access denied",
        ),
        (
            MemoryS3(sizes={"a": 9}, refuses={"a": refusal("AccessDenied", "no kms:Decrypt")}),
            "s3://data/a",
            NotPermitted,
            "its KMS key refuses to decrypt",
        ),
        (
            MemoryS3(
                sizes={"a": 9}, refuses={"a": refusal("InvalidRequest", "The object was stored using Encryption")}
            ),
            "s3://data/a",
            NotPermitted,
            "SSE-C",
        ),
        (
            MemoryS3(contents={"a": b"\x00"}, metadata={"a": {"x-amz-key-v2": "wrapped"}}),
            "s3://data/a",
            NotPermitted,
            "was encrypted by its writer",
        ),
        (
            MemoryS3(sizes={"a": 9}, refuses={"a": refusal("InternalError", "x")}),
            "s3://data/a",
            NotPermitted,
            "Internal",
        ),
    ],
)
def test_data_that_no_job_can_read_is_refused_with_the_reason(
    s3: MemoryS3, uri: str, error: type[AdviserError], why: str
) -> None:
    with pytest.raises(error, match=why):
        examine(s3, uri)


@pytest.mark.promise("input-refusals")
def test_one_unreadable_object_among_others_is_reported_and_not_fatal() -> None:
    s3 = MemoryS3(contents={"a.csv": CSV, "b.csv": CSV + CSV}, refuses={"b.csv": refusal("AccessDenied")})
    found = examine(s3, "s3://data/")
    assert [probe.problem for probe in found.probes if probe.problem] == [
        "s3://data/b.csv: access denied; add the prefix to the adviser's inputs"
    ]


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


@pytest.mark.promise("input-refusals")
@given(st.dictionaries(NAMES, st.integers(0, 5 * 10**12), max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_names_and_sizes_get_facts_or_a_refusal(sizes: dict[str, int]) -> None:
    try:
        found = examine(MemoryS3(sizes=sizes), "s3://data/")
    except NotFound:
        assert not any(sizes.values())
        return
    assert found.objects <= len(sizes)
    assert found.largest_bytes == max(sizes[key] for key in sizes if not key.endswith("/_SUCCESS"))
    assert found.splits >= found.objects
    assert found.expanded_bytes >= found.bytes


@given(st.lists(st.tuples(NAMES, st.integers(0, 10**10)), max_size=40, unique_by=lambda pair: pair[0]), st.randoms())
@settings(deadline=None)
def test_parts_of_a_listing_add_up_to_the_whole_in_any_order(
    objects: list[tuple[str, int]], shuffled: random.Random
) -> None:
    whole, parts = tally(objects), Tally()
    shuffled.shuffle(objects)
    for start in range(0, len(objects), 7):
        parts.merge(tally(objects[start : start + 7]))
    one, other = whole.dataset("x"), parts.dataset("x")
    assert other.expanded_bytes == pytest.approx(one.expanded_bytes)
    assert (other.objects, other.bytes, other.splits, other.kinds, other.partitions) == (
        one.objects,
        one.bytes,
        one.splits,
        one.kinds,
        one.partitions,
    )
    assert parts.keys_to_probe() == whole.keys_to_probe()


SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, StorageClass"


def inventory(files: Sequence[Sequence[tuple[str, int]]], **changes: object) -> MemoryS3:
    """A bucket of inventories of the bucket ``data``, in itself."""
    contents, listed = {}, []
    for number, rows in enumerate(files):
        lines = [f'"data","{key}","v","true","false","{size}","STANDARD"' for key, size in rows]
        lines += ['"data","t/old","v","false","false","999","STANDARD"', '"data","t/gone","v","true","true","",""']
        name = f"inventory/data/{number}.csv.gz"
        contents[name] = gzip.compress("\n".join(lines).encode())
        listed.append({"key": name, "size": len(contents[name])})
    manifest = {
        "sourceBucket": "data",
        "destinationBucket": "arn:aws:s3:::data",
        "fileFormat": "CSV",
        "fileSchema": SCHEMA,
        "files": listed,
    }
    contents["inventory/manifest.json"] = json.dumps(manifest | changes).encode()
    return MemoryS3(contents=contents)


def by_inventory(s3: MemoryS3, seconds: float = 20) -> Dataset:
    return examine(s3, "s3://data/t/", inventory="s3://data/inventory/manifest.json", seconds=seconds)


@pytest.mark.promise("input-analysis")
def test_an_inventory_counts_the_current_objects_below_the_prefix() -> None:
    s3 = inventory([[("t/a%2Cb.csv", GIB), ("u/c.csv", 7)], [("t/%D1%84.csv", 5)]])
    s3.contents |= {"t/a,b.csv": CSV, "t/ф.csv": CSV}
    found = by_inventory(s3)
    assert (found.objects, found.bytes, found.error) == (2, GIB + 5, 0)
    assert found.largest_key == "t/a,b.csv"


@pytest.mark.promise("input-analysis")
def test_a_part_of_an_inventory_estimates_the_whole_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 20 of 200 files could be read: a bucket of any size gets an answer."""
    chance = random.Random(1)
    files = [[(f"t/{number}-{row}.csv", chance.randrange(1, 10**9)) for row in range(200)] for number in range(200)]
    s3 = inventory(files)
    for rows in files:
        s3.contents |= {key: CSV for key, _ in rows}
    reads = iter(range(10_000))
    monkeypatch.setattr("job_adviser.inventory.time.monotonic", lambda: float(next(reads)))
    monkeypatch.setattr("job_adviser.inventory.THREADS", 1)
    found = by_inventory(s3, seconds=20)
    real = sum(size for rows in files for _, size in rows)
    assert 0 < found.error < 0.1
    assert abs(found.bytes - real) < 4 * found.error * real
    assert found.objects == pytest.approx(200 * 200, rel=0.05)


@pytest.mark.promise("input-refusals")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sourceBucket": "other"}, "is the inventory of other, not of data"),
        ({"fileFormat": "ORC"}, "is in ORC; configure an inventory in CSV"),
        ({"fileSchema": "Bucket, Key"}, "has no Size; add the optional field"),
    ],
)
def test_an_inventory_that_cannot_be_read_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        by_inventory(inventory([[("t/a", 1)]], **changes))


@pytest.mark.parametrize("body", [b"[]", b"{}", b"no JSON"])
def test_another_file_than_the_manifest_of_an_inventory_is_refused(body: bytes) -> None:
    s3 = inventory([[("t/a", 1)]])
    s3.contents["inventory/manifest.json"] = body
    with pytest.raises(InvalidRequest, match="not the manifest.json of an S3 Inventory"):
        by_inventory(s3)


@pytest.mark.promise("input-refusals")
@pytest.mark.parametrize(
    ("body", "why"),
    [(b"plain", "is not gzip"), (gzip.compress(b'"data"\n', mtime=0), "does not fit the manifest's schema")],
)
def test_a_damaged_file_of_an_inventory_is_refused(body: bytes, why: str) -> None:
    s3 = inventory([[("t/a", 1)]])
    s3.contents["inventory/data/0.csv.gz"] = body
    with pytest.raises(NotUsable, match=why):
        by_inventory(s3)
