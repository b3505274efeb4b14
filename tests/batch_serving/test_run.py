"""Runs that nothing interrupts, and what they refuse."""

from typing import Any

import pytest

from batch_serving import BatchError, Summary
from batch_serving.store import Address
from tests.batch_serving.conftest import BUCKET, Place


def rows(first: int, count: int) -> list[dict[str, Any]]:
    return [{"id": f"customer-{number}", "value": number} for number in range(first, first + count)]


@pytest.mark.promise("batch-serving")
def test_every_row_of_every_file_gets_its_prediction_in_order(place: Place) -> None:
    place.give(a=rows(0, 7), b=rows(7, 2))
    assert place.run().complete() == Summary(model="double", version=7, rows=9, parts=4)
    assert [(found["id"], found["prediction"]) for found in place.written()] == [
        (f"customer-{number}", 2 * number) for number in range(9)
    ]
    assert {(found["model"], found["version"]) for found in place.written()} == {("double", 7)}


@pytest.mark.promise("batch-serving")
def test_predictions_are_found_by_model_and_id_in_the_table(place: Place) -> None:
    place.give(a=rows(0, 4))
    place.run().complete()
    assert {id: item["prediction"] for id, item in place.items().items()} == {
        f"customer-{number}": str(2 * number) for number in range(4)
    }
    assert place.items()["customer-3"] | {"started": ""} == {
        "model": "double",
        "id": "customer-3",
        "version": "7",
        "prediction": "6",
        "run": "monday",
        "started": "",
    }


def test_a_complete_run_is_not_repeated(place: Place) -> None:
    place.give(a=rows(0, 4))
    first = place.run().complete()
    place.newest = 8
    assert place.run().complete() == first
    assert place.loaded == {7: 1}


def test_a_run_keeps_its_version_and_the_next_one_takes_the_newest(place: Place) -> None:
    place.give(a=rows(0, 4))
    place.run().complete()
    place.newest = 8
    assert place.run(name="tuesday").complete().version == 8
    assert {item["version"] for item in place.items().values()} == {"8"}


def test_an_older_run_that_ends_late_does_not_replace_predictions_of_a_newer_one(place: Place) -> None:
    place.give(a=rows(0, 3))
    monday = place.run()
    monday._plan()
    place.newest = 8
    place.run(name="tuesday").complete()
    monday.complete()
    assert {item["run"] for item in place.items().values()} == {"tuesday"}
    assert len(place.written("monday")) == 3


def test_records_without_an_id_are_called_by_file_and_row(place: Place) -> None:
    place.put("a", '{"value": 1}\n\n{"value": 2}\n')
    place.run().complete()
    key = f"{place.name}/data/a.jsonl"
    assert [found["id"] for found in place.written()] == [f"{key}:1", f"{key}:3"]


def test_one_file_can_be_the_data_set(place: Place) -> None:
    place.give(a=rows(0, 2), ab=rows(2, 2))
    run = place.run(data=Address(BUCKET, f"{place.name}/data/a.jsonl"), sinks=[])
    assert run.complete().rows == 2


def test_another_size_of_parts_does_not_change_a_run_that_began(place: Place) -> None:
    place.give(a=rows(0, 7))
    place.run()._plan()
    assert place.run(rows_per_part=2).complete().parts == 3


def test_a_data_set_that_changes_ends_the_run(place: Place) -> None:
    place.give(a=rows(0, 4))
    place.run()._plan()
    place.give(a=rows(0, 5))
    with pytest.raises(BatchError, match=r"a.jsonl: PreconditionFailed; the object changed since the run began"):
        place.run().complete()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"value": 1}\n{value}\n', r"a.jsonl:2: is not JSON; correct the line"),
        ('{"id": "x", "value": "one"}\n', r"a.jsonl:1: record 'x': value must be a number; correct the record"),
        ('{"id": "x", "value": 1}\n{"id": "x", "value": 2}\n', r"two records have the id 'x'; correct the data"),
    ],
)
def test_a_row_without_a_prediction_ends_the_run_with_its_place(place: Place, body: str, message: str) -> None:
    place.put("a", body)
    with pytest.raises(BatchError, match=message):
        place.run().complete()
    assert place.written() == []
    assert place.items() == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "--run: must be a name without '/', got 'a/b'"),
        ({"rows_per_part": 0}, "--rows-per-part: must be 1 or more, got 0"),
        ({"data": Address(BUCKET, "nothing/")}, "--data: s3://batch/nothing/ has no file with content"),
        ({"model": "triple"}, "--run: 'monday' exists with model 'double', not 'triple'; give another name"),
        ({"data": Address("elsewhere", "x")}, "exists with data 's3://batch/.*', not 's3://elsewhere/x'"),
    ],
)
def test_a_run_that_cannot_be_is_refused(place: Place, changes: dict[str, Any], message: str) -> None:
    place.give(a=rows(0, 1))
    if "model" in changes or changes.get("data") == Address("elsewhere", "x"):
        place.run().complete()
    with pytest.raises(BatchError, match=message):
        place.run(**changes).complete()


def test_a_table_that_is_not_there_is_refused_by_name(place: Place) -> None:
    place.give(a=rows(0, 1))
    place.dynamodb.delete_table(TableName=place.name)
    with pytest.raises(BatchError, match=rf"--table: {place.name}: ResourceNotFoundException; check its name"):
        place.run().complete()


def test_an_address_of_another_form_is_refused() -> None:
    with pytest.raises(BatchError, match="--data: must be s3://BUCKET/PATH, got '/data'"):
        Address.parse("--data", "/data")
