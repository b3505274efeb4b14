"""The listing finds every object once, whatever the names, and asks for several pages at the same time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_adviser.errors import InvalidRequest, NotFound, NotPermitted
from job_adviser.listing import list_objects
from job_adviser.places import Place
from tests.job_adviser.memory_s3 import MemoryS3, refusal

LAMBDA_SECONDS = 30
KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
NUMBERED = st.builds("part-{:05d}.csv".format, st.integers(0, 99999))
NESTED = st.builds("{}/{}/{}".format, KEYS, st.integers(0, 30), KEYS)


@given(
    keys=st.dictionaries(st.one_of(KEYS, NUMBERED, NESTED), st.integers(1, 10**12), max_size=150),
    prefix=st.one_of(st.just(""), st.just("part-"), KEYS.map(lambda key: key[:1])),
    page=st.integers(1, 20),
)
@settings(max_examples=120, deadline=None)
def test_every_object_below_a_prefix_is_counted_once_whatever_its_name(
    keys: dict[str, int], prefix: str, page: int
) -> None:
    found = list_objects(MemoryS3(sizes=keys, page=page), Place("data", prefix), seconds=60, threads=4)
    below = {key: size for key, size in keys.items() if key.startswith(prefix)}
    assert found.complete
    assert (found.tally.objects, found.tally.bytes) == (len(below), sum(below.values()))


@pytest.mark.promise("input-analysis")
@pytest.mark.parametrize(
    "name",
    ["day/{:05d}.csv", "day/{:05d}/part.csv", "day={:03d}/part-{:06d}.parquet", "данные/{:05d}.csv", "{:064x}.bin"],
)
def test_ten_thousand_objects_are_listed_within_the_time_of_a_function(name: str) -> None:
    """With the 0.2 s that S3 takes for a page at worst."""
    keys = [name.format(number * 2**200 if "x" in name else number % 1000, number) for number in range(10_000)]
    if "{:03d}" not in name:
        keys = [name.format(number * 2**200 if "x" in name else number) for number in range(10_000)]
    s3 = MemoryS3(sizes=dict.fromkeys(keys, 1000), seconds=0.2)
    found = list_objects(s3, Place("data", ""), seconds=LAMBDA_SECONDS)
    assert (found.complete, found.tally.objects) == (True, 10_000)


def test_a_hundred_thousand_numbered_objects_are_listed_several_pages_at_a_time() -> None:
    keys = [f"part-{number:06d}" for number in range(100_000)]
    s3 = MemoryS3(sizes=dict.fromkeys(keys, 1), seconds=0.1)
    found = list_objects(s3, Place("data", "part-"), seconds=60)
    assert found.tally.objects == 100_000
    assert s3.most_at_once > 4
    assert found.requests < 2 * 100, "most requests found nothing"


def test_a_listing_that_does_not_end_in_time_says_so() -> None:
    s3 = MemoryS3(sizes={f"{number:05d}": 1 for number in range(50_000)}, seconds=0.05)
    found = list_objects(s3, Place("data", ""), seconds=0.1)
    assert not found.complete
    assert 0 < found.tally.objects < 50_000


def test_a_listing_ends_after_the_number_of_objects_that_it_is_given() -> None:
    s3 = MemoryS3(sizes={f"{number:05d}": 1 for number in range(20_000)})
    found = list_objects(s3, Place("data", ""), seconds=60, most_objects=3000, threads=2)
    assert not found.complete
    assert 3000 <= found.tally.objects <= 3000 + 2 * 1000


def test_a_bucket_that_does_not_exist_or_denies_listing_is_refused() -> None:
    with pytest.raises(NotFound, match="s3://other/x: does not exist"):
        list_objects(MemoryS3(), Place("other", "x"), seconds=1)
    with pytest.raises(NotPermitted, match="add the prefix to the adviser's inputs"):
        list_objects(MemoryS3(listing_refused=refusal("AccessDenied")), Place("data", "x"), seconds=1)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("data/x", "must be 's3://BUCKET/PREFIX'"),
        (7, "must be 's3://BUCKET/PREFIX'"),
        ("s3:///x", "'' is not a bucket name"),
        ("s3://Data/x", "'Data' is not a bucket name"),
        ("s3://fast--use1-az4--x-s3/x", "is a directory bucket"),
        ("s3://data/" + "ж" * 600, "longer than the 1024 bytes"),
        ("s3://data/\ud800", "is not valid Unicode"),
    ],
)
def test_a_place_that_cannot_exist_is_refused(uri: object, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        Place.parse(uri)
