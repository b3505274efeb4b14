"""The preparation job writes the same records to another prefix, in fewer, smaller or better files."""

import bz2
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_adviser import AdviserError, InvalidRequest, NotFound, NotUsable, parquet
from job_adviser.preparation import Part, Request, divide, finish, plan, progress, run_batch
from tests.job_adviser.memory_s3 import MemoryS3

LINE = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r"), max_size=20)


def request(**changes: Any) -> Request:
    return Request.parse({"run": "r1", "input": "s3://data/in/", "output": "s3://data/out/", **changes})


def prepared(s3: MemoryS3, asked: Request, batch_bytes: int = 100) -> dict[str, bytes]:
    """What a whole run writes, without the state of the run."""
    for number in plan(s3, asked, batch_bytes=batch_bytes):
        run_batch(s3, asked, number)
    finish(s3, asked)
    found = {key: body for key, body in s3.contents.items() if key.startswith("out/")}
    assert "out/_SUCCESS" in found
    return {key: body for key, body in found.items() if "/_" not in key}


@pytest.mark.promise("input-preparation")
@given(
    files=st.lists(st.tuples(st.sampled_from(["txt", "txt.gz", "txt.bz2"]), st.lists(LINE, max_size=30)), min_size=1),
    batch_bytes=st.integers(1, 200),
    ends=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_every_line_is_kept_once_and_in_order_however_the_input_is_cut(
    files: list[tuple[str, list[str]]], batch_bytes: int, ends: bool
) -> None:
    pack = {"txt": bytes, "txt.gz": gzip.compress, "txt.bz2": bz2.compress}
    contents, expected = {}, []
    for number, (ending, lines) in enumerate(files):
        text = "\n".join(lines) + ("\n" if ends and lines else "")
        if text:
            contents[f"in/{number:04d}.{ending}"] = pack[ending](text.encode())
            expected += text.removesuffix("\n").split("\n") if text != "\n" else [""]
    s3 = MemoryS3(contents=dict(contents))
    if not contents:
        with pytest.raises(NotFound):
            plan(s3, request())
        return
    found = prepared(s3, request(), batch_bytes)
    text = b"".join(gzip.decompress(found[key]) for key in sorted(found)).decode()
    assert text.split("\n")[:-1] == expected
    assert all(s3.contents[key] == body for key, body in contents.items()), "the input was changed"


def test_small_files_are_merged_and_keep_one_header() -> None:
    s3 = MemoryS3(contents={f"in/{number}.csv": b"id,x\n%d,a\n" % number for number in range(10)})
    found = prepared(s3, request(), 10_000)
    assert gzip.decompress(found["out/part-00000.csv.gz"]).decode().split() == ["id,x", *(f"{n},a" for n in range(10))]
    assert json.loads(s3.contents["out/_SUCCESS"]) == {"read": 90, "written": len(*found.values()), "objects": 1}


def test_a_large_table_is_split_and_each_part_has_the_header() -> None:
    rows = [f"{number},city-{number % 3}" for number in range(200)]
    s3 = MemoryS3(contents={"in/a.csv": ("id,city\n" + "\n".join(rows)).encode()})
    found = prepared(s3, request(), 500)
    assert len(found) > 3
    texts = [gzip.decompress(body).decode().splitlines() for _, body in sorted(found.items())]
    assert {text[0] for text in texts} == {"id,city"}
    assert [row for text in texts for row in text[1:]] == rows


@pytest.mark.promise("input-preparation")
def test_a_table_is_converted_to_parquet_that_others_read(tmp_path: Path) -> None:
    rows = [
        ["id", "zip", "price", "name", "empty"],
        ["1", "01067", "0.5", 'Ж, "quoted"', ""],
        ["-2", "10115", "", "", ""],
        ["3", "80331", "1e3", "東京", ""],
    ]
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    s3 = MemoryS3(contents={"in/a.csv": buffer.getvalue().encode()})
    found = prepared(s3, request(format="parquet"), 10_000)
    file = tmp_path / "part.parquet"
    file.write_bytes(found["out/part-00000.parquet"])
    table = duckdb.sql(f"SELECT * FROM '{file}'")
    assert dict(zip(table.columns, map(str, table.types), strict=True)) == {
        "id": "BIGINT",
        "zip": "VARCHAR",
        "price": "DOUBLE",
        "name": "VARCHAR",
        "empty": "BIGINT",
    }
    assert table.fetchall() == [
        (1, "01067", 0.5, 'Ж, "quoted"', None),
        (-2, "10115", None, None, None),
        (3, "80331", 1000.0, "東京", None),
    ]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.floats(allow_nan=False)),
            st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))),
        ),
        min_size=1,
        max_size=60,
    )
)
@settings(deadline=None, max_examples=60)
def test_any_values_survive_parquet(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]) -> None:
    names = (("a", "int64"), ("b", "double"), ("c", "string"))
    columns = [parquet.Column(name, type, [row[n] for row in rows]) for n, (name, type) in enumerate(names)]  # type: ignore[arg-type]
    file = tmp_path_factory.mktemp("parquet") / "x.parquet"
    file.write_bytes(parquet.write(columns))
    assert duckdb.sql(f"SELECT * FROM '{file}'").fetchall() == rows


@pytest.mark.parametrize(
    ("texts", "type"),
    [
        (["1", "", "-7"], "int64"),
        (["1", "2.5"], "double"),
        (["007"], "string"),
        (["+1"], "string"),
        (["1_000"], "string"),
        (["٣"], "string"),
        ([str(2**64)], "double"),
        (["a"], "string"),
        (["--1"], "string"),
    ],
)
def test_identifiers_stay_texts_and_numbers_become_numbers(texts: list[str], type: str) -> None:
    assert parquet.typed(texts)[0] == type


@pytest.mark.promise("input-preparation")
@pytest.mark.parametrize("format", ["parquet", "gzip"])
def test_a_column_becomes_folders_for_partitions(tmp_path: Path, format: str) -> None:
    lines = [json.dumps({"day": f"2026-07-{number % 3:02d}", "n": number}) for number in range(9)]
    lines.append(json.dumps({"n": 9}))
    s3 = MemoryS3(contents={"in/a.jsonl": "\n".join(lines).encode()})
    found = prepared(s3, request(format=format, partition_by="day"), 10_000)
    ending = {"parquet": "parquet", "gzip": "jsonl.gz"}[format]
    folders = ["2026-07-00", "2026-07-01", "2026-07-02", "__HIVE_DEFAULT_PARTITION__"]
    assert sorted(found) == [f"out/day={folder}/part-00000.{ending}" for folder in folders]
    if format == "parquet":
        file = tmp_path / "x.parquet"
        file.write_bytes(found["out/day=2026-07-01/part-00000.parquet"])
        assert duckdb.sql(f"SELECT n FROM '{file}'").fetchall() == [(1,), (4,), (7,)]


@given(st.lists(st.tuples(st.integers(1, 1000), st.sampled_from(["csv", "csv.gz", "txt"])), min_size=1, max_size=40))
def test_batches_cover_every_byte_once_and_hold_one_kind(objects: list[tuple[int, str]]) -> None:
    named = [(f"{number:03d}.{ending}", size) for number, (size, ending) in enumerate(objects)]
    batches = list(divide(named, batch_bytes=300))
    covered: dict[str, int] = {}
    for part in (part for batch in batches for part in batch):
        assert part.start == covered.get(part.key, 0)
        covered[part.key] = part.end
    assert covered == dict(named)
    assert all(len({part.key.partition(".")[2] for part in batch}) == 1 for batch in batches)
    assert all(sum(part.end - part.start for part in batch) <= 300 or len(batch) == 1 for batch in batches)


def test_a_repeated_batch_and_a_repeated_plan_write_the_same() -> None:
    s3 = MemoryS3(contents={"in/a.csv": b"id\n1\n2\n"})
    once = prepared(s3, request())
    assert prepared(s3, request()) == once


def test_a_run_is_not_finished_before_all_its_batches_are() -> None:
    s3 = MemoryS3(contents={"in/a.txt": b"x\n" * 100})
    assert progress(s3, request().output, "r1") == (0, 0)
    numbers = plan(s3, request(), batch_bytes=50)
    run_batch(s3, request(), numbers[0])
    assert progress(s3, request().output, "r1") == (1, len(numbers))
    with pytest.raises(NotUsable, match="1 of 4 batches are done"):
        finish(s3, request())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"output": "s3://data/out"}, "output: must end with '/'"),
        ({"output": "s3://data/in/prepared/"}, "overlap; choose another prefix"),
        ({"input": "s3://data/out/raw/"}, "overlap; choose another prefix"),
        ({"format": "zip"}, "prepare.format: must be one of parquet, gzip, got 'zip'"),
        ({"partition_by": "day; drop"}, "must be the name of a column"),
        ({"header": False, "format": "parquet"}, "must be true to convert"),
        ({"header": "no"}, "prepare.header: must be true or false"),
        ({"run": "../x"}, "prepare.run: must be 1 to 80 letters"),
        ({"sort_by": "x"}, "prepare.sort_by: unknown"),
    ],
)
def test_a_preparation_that_makes_no_sense_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        request(**changes)


@pytest.mark.promise("input-refusals")
@pytest.mark.parametrize(
    ("contents", "changes", "why"),
    [
        ({"in/a.jpg": b"\xff\xd8\xff"}, {}, "is image, which the preparation job does not read"),
        ({"in/a.csv.zst": b"x"}, {}, "is csv.zstd, which the preparation job does not read"),
        ({"in/a.csv.gz": b"no gzip"}, {}, "is not whole"),
        ({"in/a.csv.gz": gzip.compress(b"id\n1\n")[:-9]}, {}, "is not whole"),
        ({"in/a.csv": b"id\n1\n", "in/b.csv": b"id,x\n1,2\n"}, {}, "its header differs"),
        ({"in/a.csv": b"id,x\n1\n"}, {"format": "parquet"}, "a row has 1 values for 2 columns"),
        ({"in/a.csv": b"id,id\n1,2\n"}, {"format": "parquet"}, "once each"),
        ({"in/a.csv": b"id\n\xff\n"}, {"format": "parquet"}, "is not a table in UTF-8"),
        ({"in/a.csv": b'id\n"1\n'}, {"format": "parquet"}, "is not a table in UTF-8 with a record a line"),
        ({"in/a.jsonl": b"[1]\n"}, {"format": "parquet"}, "a line is not a JSON object"),
        ({"in/a.txt": b"words\n"}, {"format": "parquet"}, "text has no columns"),
        ({"in/a.csv": b"id\n1\n"}, {"partition_by": "day"}, "has no column 'day'; it has id"),
        (
            {"in/a.csv": b"id,x\n" + b"".join(b"%d,1\n" % n for n in range(501))},
            {"partition_by": "id"},
            "more than 500 values",
        ),
    ],
)
def test_input_that_cannot_be_prepared_is_refused(
    contents: dict[str, bytes], changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(AdviserError, match=why):
        prepared(MemoryS3(contents=dict(contents)), request(**changes), 10_000)


def test_one_huge_compressed_file_and_too_many_batches_are_refused() -> None:
    with pytest.raises(NotUsable, match="more than one function reads in its time; prepare it with a Spark job"):
        list(divide([("a.csv.gz", 2 * 1024**3)]))
    s3 = MemoryS3(sizes={"in/a.txt": 10**6})
    with pytest.raises(NotUsable, match="more than 3000 batches"):
        plan(s3, request(), batch_bytes=100)


def test_a_part_names_its_bytes() -> None:
    assert list(divide([("a.txt", 250)], batch_bytes=100)) == [
        [Part("a.txt", 0, 100, 250)],
        [Part("a.txt", 100, 200, 250)],
        [Part("a.txt", 200, 250, 250)],
    ]
