"""The processor's own code, against an AWS emulator: DynamoDB, SQS and Firehose are not faked."""

import base64
import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlplatform_constructs import Feature, FeatureGroup
from mlplatform_constructs._data.feature_processor_handler import index
from mlplatform_constructs._data.feature_processor_handler.events import Malformed, parse
from mlplatform_constructs._data.feature_processor_handler.online import OnlineFeatures

RECORDED = Path(__file__).parent / "restaurant_events.tsv"
DAY = datetime(2026, 7, 13, tzinfo=UTC)
NOW = (DAY + timedelta(hours=11, minutes=7)).timestamp()
HOUR = timedelta(hours=1)
MEAN = Feature(name="preparation_seconds_mean_1h", aggregate="mean", of="preparation_seconds", window=HOUR)
GROUP = FeatureGroup(
    name="restaurant_preparation",
    entity="restaurant_id",
    event_id="order_id",
    event_time="ready_at",
    measures={"preparation_seconds": "double"},
    online=(
        MEAN,
        Feature(name="orders_1h", aggregate="count", of="preparation_seconds", window=HOUR),
        Feature(name="preparation_seconds_10m", aggregate="sum", of="preparation_seconds", window=HOUR / 6),
    ),
)
SPEC = GROUP.to_spec()
# The AWS emulator answers within milliseconds, but its first answers come late on a busy machine.
AGAINST_AWS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)


@pytest.fixture(scope="session")
def table(aws: Callable[[str], Any]) -> str:
    aws("dynamodb").create_table(
        TableName="online",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "entity", "KeyType": "HASH"}, {"AttributeName": "bucket", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "entity", "AttributeType": "S"},
            {"AttributeName": "bucket", "AttributeType": "N"},
        ],
    )
    return "online"


@pytest.fixture
def queue(aws: Callable[[str], Any]) -> str:
    return str(aws("sqs").create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"])


@pytest.fixture
def processor(aws: Callable[[str], Any], table: str, queue: str) -> index.Processor:
    online = OnlineFeatures(aws("dynamodb"), table, SPEC)
    return index.Processor(spec=SPEC, sqs=aws("sqs"), dead_letters=queue, online=online)


@pytest.fixture
def letters(aws: Callable[[str], Any], queue: str) -> Callable[[], list[dict[str, Any]]]:
    def receive() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while messages := aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
        return found

    return receive


def restaurant() -> str:
    """A restaurant that no other test knows."""
    return f"r-{uuid.uuid4()}"


def order(restaurant_id: str, order_id: str = "o-1", *, ago: float = 60, seconds: object = 600) -> dict[str, Any]:
    """An order that was ready ``ago`` seconds before ``NOW``."""
    ready_at = int((NOW - ago) * 1000)
    return {"restaurant_id": restaurant_id, "order_id": order_id, "ready_at": ready_at, "preparation_seconds": seconds}


def records(bodies: Sequence[dict[str, Any] | bytes]) -> list[dict[str, Any]]:
    """Records as Lambda delivers them, numbered in this order."""
    return [
        {
            "eventID": f"shardId-000000000000:{number}",
            "kinesis": {
                "sequenceNumber": str(number),
                "data": base64.b64encode(body if isinstance(body, bytes) else json.dumps(body).encode()).decode(),
            },
        }
        for number, body in enumerate(bodies, start=10**20)
    ]


def deliver(processor: index.Processor, batch: list[dict[str, Any]], now: float = NOW) -> int:
    """Deliver as Lambda does, again and again from the record that the answer names. Returns the deliveries."""
    for delivery in range(1, 1000):
        failures = processor.process(batch, now)["batchItemFailures"]
        if not failures:
            return delivery
        numbers = [record["kinesis"]["sequenceNumber"] for record in batch]
        batch = batch[numbers.index(failures[0]["itemIdentifier"]) :]
    raise AssertionError("the batch never came to an end")


def recorded() -> Iterator[tuple[float, bytes]]:
    """Arrival time of each recorded record, in seconds since 1970, and its content."""
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        clock, _, data = line.partition("\t")
        arrival = datetime.combine(DAY.date(), datetime.strptime(clock, "%H:%M:%S").time(), UTC)
        yield arrival.timestamp(), data.encode()


def read(processor: index.Processor, entity: str, now: float = NOW) -> dict[str, int | float | None]:
    assert processor.online
    return processor.online.read(entity, now)


@pytest.mark.promise("streamed-features", "online-features")
def test_a_recorded_morning_gives_each_restaurants_mean_of_the_last_hour(
    processor: index.Processor, letters: Callable[[], list[dict[str, Any]]]
) -> None:
    """The recording has late, repeated and malformed records."""
    for arrival, data in recorded():
        assert processor.process(records([data]), arrival) == {"batchItemFailures": []}
    # 10:08 until now, to the minute.
    trattoria = [1040.2, 849.9, 1089.9, 850.1, 1004.5, 956.0, 871.0, 979.0, 1047.6, 1098.4]
    assert read(processor, "trattoria")["preparation_seconds_mean_1h"] == pytest.approx(statistics.mean(trattoria))
    assert read(processor, "trattoria")["orders_1h"] == 10
    assert read(processor, "noodle-bar")["preparation_seconds_mean_1h"] == pytest.approx(
        statistics.mean([377.1, 391.7, 239.6, 266.8])
    )
    assert read(processor, "bakery") == {
        "preparation_seconds_mean_1h": 60.0,
        "orders_1h": 1,
        "preparation_seconds_10m": 60.0,
    }
    # At 10:45 the order of 09:58:30 that arrived 41 minutes late counts, and the repeated one of 10:06:36 once.
    earlier = (DAY + timedelta(hours=10, minutes=45)).timestamp()
    trattoria = [985.5, 1041.0, 1500.5, 748.7, 729.8, 1040.2, 849.9, 1089.9, 850.1, 1004.5, 956.0]
    assert read(processor, "trattoria", earlier)["preparation_seconds_mean_1h"] == pytest.approx(
        statistics.mean(trattoria)
    )
    assert [letter["reason"].partition(": Expecting")[0] for letter in letters()] == [
        "not JSON in UTF-8",
        "preparation_seconds: must be a number",
        "ready_at: missing",
        "ready_at: must be whole milliseconds since 1970, after 2001",
        "restaurant_id: must be text of 1 to 256 characters",
        "not JSON in UTF-8: NaN is no JSON number",
    ]


# Many orders of one minute, and values of every size an event may have: in floating point, sums would depend on order.
AGES = st.one_of(st.sampled_from([1, 30, 59, 61, 601, 3541, 3601]), st.integers(min_value=-200, max_value=4200))
VALUES = st.sampled_from(["0.000000001", "0.1", "17", "-3.25", "999999999999999999", "-999999999999999999"])
ORDERS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([f"o-{n}" for n in range(8)]), AGES, VALUES),
    max_size=25,
    unique_by=lambda order: (order[0], order[1], order[2]),
)


def expected(orders: Sequence[tuple[str, str, int, str]], which: str) -> dict[str, float | None]:
    """A restaurant's features at ``NOW``, by the definition and nothing else."""
    minute = int(NOW // 60)
    ages = [(minute - int((NOW - ago) // 60), Decimal(value)) for entity, _, ago, value in orders if entity == which]
    hour, ten_minutes = ([value for age, value in ages if 0 <= age < span] for span in (60, 10))
    with localcontext(prec=100):
        return {
            "preparation_seconds_mean_1h": float(sum(hour) / len(hour)) if hour else None,
            "orders_1h": len(hour),
            "preparation_seconds_10m": float(sum(ten_minutes)) if ten_minutes else None,
        }


@AGAINST_AWS
@given(orders=ORDERS, data=st.data())
def test_any_order_and_any_duplication_gives_the_same_features(
    processor: index.Processor, orders: list[tuple[str, str, int, str]], data: st.DataObject
) -> None:
    first, second = restaurant(), restaurant()
    shuffled = data.draw(st.permutations(orders + data.draw(st.lists(st.sampled_from(orders or [()]), max_size=10))))
    cut = data.draw(st.integers(min_value=0, max_value=len(shuffled)))
    for prefix, batches in ((first, [orders]), (second, [shuffled[:cut], shuffled[cut:]])):
        for batch in batches:
            bodies = [
                json.dumps(order(f"{prefix}{entity}", id, ago=ago, seconds=0)).replace(
                    '"preparation_seconds": 0', f'"preparation_seconds": {value}'
                )
                for entity, id, ago, value in (item for item in batch if item)
            ]
            deliver(processor, records([body.encode() for body in bodies]))
    for entity in ("a", "b"):
        assert read(processor, f"{first}{entity}") == expected(orders, entity)
        assert read(processor, f"{second}{entity}") == expected(orders, entity)


class Flaky:
    """A client that fails at the given calls of ``method``, before or after they took effect."""

    def __init__(self, client: Any, method: str, failures: Sequence[str]) -> None:
        self._client, self._method, self._failures = client, method, list(failures)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._method:
            return real

        def call(**arguments: Any) -> Any:
            failure = self._failures.pop(0) if self._failures else "never"
            if failure == "before":
                raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, name)
            answer = real(**arguments)
            if failure == "after":
                raise ClientError({"Error": {"Code": "InternalServerError"}}, name)
            return answer

        return call


@AGAINST_AWS
@given(
    orders=ORDERS.filter(bool),
    failures=st.lists(st.sampled_from(["never", "before", "after"]), max_size=12),
)
def test_writes_that_fail_or_whose_answer_is_lost_are_made_up_for_without_counting_twice(
    processor: index.Processor, orders: list[tuple[str, str, int, str]], failures: list[str]
) -> None:
    assert processor.online
    entity = restaurant()
    flaky = Flaky(processor.online._client, "update_item", failures)
    shaky = replace(processor, online=OnlineFeatures(flaky, processor.online._table, SPEC))
    batch = records([order(f"{entity}{of}", id, ago=ago, seconds=1) for of, id, ago, _ in orders])
    deliver(shaky, batch)
    deliver(shaky, batch)
    for of in ("a", "b"):
        assert read(processor, f"{entity}{of}") == expected([(*rest, "1") for *rest, _ in orders], of)


def test_two_writers_at_once_count_each_event_once(processor: index.Processor) -> None:
    entity = restaurant()
    batch = records([order(entity, f"o-{n}") for n in range(120)])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deliver(processor, batch), range(4)))
    assert read(processor, entity)["orders_1h"] == 120


def test_an_event_counts_until_its_window_has_passed_though_none_follows(processor: index.Processor) -> None:
    entity = restaurant()
    deliver(processor, records([order(entity, ago=0)]))
    assert read(processor, entity, NOW + 9 * 60)["preparation_seconds_10m"] == 600
    assert read(processor, entity, NOW + 10 * 60)["preparation_seconds_10m"] is None
    assert read(processor, entity, NOW + 59 * 60)["preparation_seconds_mean_1h"] == 600
    assert read(processor, entity, NOW + 60 * 60) == {
        "preparation_seconds_mean_1h": None,
        "orders_1h": 0,
        "preparation_seconds_10m": None,
    }


def test_an_event_is_late_exactly_when_no_window_can_reach_it(
    processor: index.Processor, aws: Callable[[str], Any], table: str
) -> None:
    in_time, late = restaurant(), restaurant()
    deliver(processor, records([order(in_time, ago=59 * 60), order(late, ago=60 * 60)]))
    assert read(processor, in_time)["orders_1h"] == 1
    answer = aws("dynamodb").query(
        TableName=table,
        KeyConditionExpression="entity = :entity",
        ExpressionAttributeValues={":entity": {"S": late}},
    )
    assert answer["Items"] == []


@pytest.mark.promise("online-features")
def test_a_bucket_goes_when_no_window_can_reach_it_and_not_before(
    processor: index.Processor, aws: Callable[[str], Any], table: str
) -> None:
    entity = restaurant()
    deliver(processor, records([order(entity, ago=0)]))
    key = {"entity": {"S": entity}, "bucket": {"N": str(int(NOW // 60) * 60)}}
    expires_at = int(aws("dynamodb").get_item(TableName=table, Key=key)["Item"]["expires_at"]["N"])
    assert timedelta(hours=1) < timedelta(seconds=expires_at - NOW) < timedelta(hours=1, minutes=15)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\xfe", "not JSON in UTF-8"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON in UTF-8"),
        (b'{"restaurant_id": 7}', "restaurant_id: must be text of 1 to 256 characters"),
        ({"restaurant_id": "x" * 257}, "restaurant_id: must be text of 1 to 256 characters"),
        ({"restaurant_id": "\ud800"}, "restaurant_id: must be text that UTF-8 can hold"),
        ({"order_id": None}, "order_id: missing"),
        ({"ready_at": "2026-07-13"}, "ready_at: must be whole milliseconds"),
        ({"ready_at": True}, "ready_at: must be whole milliseconds"),
        ({"ready_at": int(NOW)}, "ready_at: must be whole milliseconds since 1970, after 2001"),
        ({"ready_at": int(NOW * 1000) + 301_000}, "ready_at: more than 300 seconds in the future"),
        ({"preparation_seconds": True}, "preparation_seconds: must be a number"),
        ({"preparation_seconds": float("nan")}, "NaN is no JSON number"),
        ({"preparation_seconds": 10**18}, "preparation_seconds: must be smaller than 10^18"),
        (b'{"preparation_seconds": 1e99999999999999999999}', "not JSON in UTF-8"),
    ],
)
def test_what_is_no_event_becomes_a_dead_letter_and_holds_nothing_up(
    processor: index.Processor,
    letters: Callable[[], list[dict[str, Any]]],
    body: dict[str, Any] | bytes,
    reason: str,
) -> None:
    entity = restaurant()
    wrong = body if isinstance(body, bytes) else {**order(entity, "wrong"), **body}
    batch = records([order(entity, "before"), wrong, order(entity, "after")])
    assert processor.process(batch, NOW) == {"batchItemFailures": []}
    assert read(processor, entity)["orders_1h"] == 2
    [letter] = letters()
    assert reason in letter["reason"]
    assert letter["group"] == "restaurant_preparation"
    assert letter["sequence_number"] == batch[1]["kinesis"]["sequenceNumber"]
    assert batch[1]["kinesis"]["data"].startswith(letter["data"].rstrip("=")[:16_000])


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(),
        st.dictionaries(
            st.sampled_from(["restaurant_id", "order_id", "ready_at", "preparation_seconds"]),
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(int(NOW * 1000)), st.just([])
            ),
        ).map(lambda body: json.dumps(body).encode()),
    )
)
def test_any_bytes_are_an_event_or_malformed_and_nothing_else(data: bytes) -> None:
    try:
        event = parse(data, SPEC, NOW)
    except Malformed:
        return
    assert event.entity
    assert event.id
    assert 10**12 <= event.time <= (NOW + 300) * 1000
    assert all(abs(value) <= 10**18 for value in event.values.values())


def test_whole_numbers_stay_complete() -> None:
    group = replace(GROUP, measures={"items": "bigint"}, online=(replace(MEAN, of="items"),))
    with pytest.raises(Malformed, match="items: must be a whole number"):
        parse(json.dumps({**order("x"), "items": 1.5}).encode(), group.to_spec(), NOW)
    assert parse(json.dumps({**order("x"), "items": 3.0}).encode(), group.to_spec(), NOW).values == {"items": 3}


def test_a_dead_letter_that_the_queue_does_not_take_comes_again(
    processor: index.Processor, letters: Callable[[], list[dict[str, Any]]]
) -> None:
    entity = restaurant()
    shaky = replace(processor, sqs=Flaky(processor.sqs, "send_message_batch", ["before"]))
    assert deliver(shaky, records([order(entity, "1"), b"nonsense", order(entity, "2")])) == 2
    assert len(letters()) == 1
    assert read(processor, entity)["orders_1h"] == 2


def test_a_measure_may_be_added_while_windows_reach_back_before_it(
    processor: index.Processor, aws: Callable[[str], Any], table: str
) -> None:
    entity = restaurant()
    deliver(processor, records([order(entity, f"old-{n}", ago=600, seconds=100) for n in range(3)]))
    deliver(processor, records([order(entity, "same-bucket-old", seconds=100)]))
    tip = Feature(name="tip_mean_1h", aggregate="mean", of="tip_cents", window=HOUR)
    tips = Feature(name="tips_1h", aggregate="count", of="tip_cents", window=HOUR)
    grown = replace(GROUP, measures={**GROUP.measures, "tip_cents": "bigint"}, online=(*GROUP.online, tip, tips))
    spec = grown.to_spec()
    newer = replace(processor, spec=spec, online=OnlineFeatures(aws("dynamodb"), table, spec))
    nothing = {"tip_mean_1h": None, "tips_1h": 0}
    assert read(newer, entity).items() >= nothing.items()
    deliver(newer, records([{**order(entity, "new", seconds=300), "tip_cents": 50}]))
    assert read(newer, entity) == {
        "preparation_seconds_mean_1h": 140.0,
        "orders_1h": 5,
        "preparation_seconds_10m": 400.0,
        "tip_mean_1h": 50.0,
        "tips_1h": 1,
    }


def test_buckets_of_earlier_versions_still_count(
    processor: index.Processor, aws: Callable[[str], Any], table: str
) -> None:
    entity, bucket = restaurant(), int((NOW - 60) // 60) * 60
    item = {
        "entity": {"S": entity},
        "bucket": {"N": str(bucket)},
        "events": {"BS": [b"%016d" % n for n in range(2)]},
        "count": {"N": "2"},
        "sum_preparation_seconds": {"N": "900"},
    }
    aws("dynamodb").put_item(TableName=table, Item=item)
    deliver(processor, records([order(entity, "new", seconds=600)]))
    assert read(processor, entity)["preparation_seconds_mean_1h"] == 500.0
    assert read(processor, entity)["orders_1h"] == 3


def test_a_bucket_that_is_full_sends_its_events_to_the_dead_letters(
    processor: index.Processor, letters: Callable[[], list[dict[str, Any]]], aws: Callable[[str], Any], table: str
) -> None:
    entity, bucket = restaurant(), int((NOW - 60) // 60) * 60
    item = {
        "entity": {"S": entity},
        "bucket": {"N": str(bucket)},
        "events": {"BS": [b"%016d" % n for n in range(25_585)]},
        "count": {"N": "25585"},
        "sum_preparation_seconds": {"N": "0"},
    }
    aws("dynamodb").put_item(TableName=table, Item=item)
    assert processor.process(records([order(entity, f"o-{n}") for n in range(9)]), NOW) == {"batchItemFailures": []}
    assert {letter["reason"] for letter in letters()} == {f"{entity}: the bucket that begins at {bucket} is full"}


def test_events_are_kept_with_the_groups_own_columns_though_they_are_late(
    processor: index.Processor, aws: Callable[[str], Any]
) -> None:
    aws("s3").create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws("firehose").create_delivery_stream(
        DeliveryStreamName="kept",
        ExtendedS3DestinationConfiguration={"BucketARN": "arn:aws:s3:::kept", "RoleARN": "arn:aws:iam::1:role/r"},
    )
    entity = restaurant()
    keeping = replace(processor, firehose=aws("firehose"), archive="kept")
    deliver(keeping, records([{**order(entity, ago=7200, seconds=12.5), "courier": "c-1"}, b"nonsense"]))
    deadline = time.monotonic() + 30
    while not (keys := aws("s3").list_objects_v2(Bucket="kept").get("Contents", [])):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    [body] = [json.loads(aws("s3").get_object(Bucket="kept", Key=key["Key"])["Body"].read()) for key in keys]
    assert body == order(entity, ago=7200, seconds=12.5)


def test_an_event_that_the_archive_does_not_take_comes_again(processor: index.Processor) -> None:
    class Archive:
        """Refuses the second event of the first call."""

        def __init__(self) -> None:
            self.kept: list[str] = []

        def put_record_batch(self, *, DeliveryStreamName: str, Records: list[dict[str, bytes]]) -> dict[str, Any]:
            refused = 1 if not self.kept else None
            for number, record in enumerate(Records):
                if number != refused:
                    self.kept.append(json.loads(record["Data"])["order_id"])
            failure = {"ErrorCode": "ServiceUnavailableException"}
            return {"RequestResponses": [failure if n == refused else {"RecordId": "x"} for n in range(len(Records))]}

    archive = Archive()
    entity = restaurant()
    keeping = replace(processor, firehose=archive, archive="kept")
    assert deliver(keeping, records([order(entity, id) for id in "abc"])) == 2
    assert archive.kept == ["a", "c", "b", "c"]  # at least once; the offline features count each once
    assert read(processor, entity)["orders_1h"] == 3


def test_the_environment_describes_the_processor(
    processor: index.Processor, emulator: str, table: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": emulator,
        "AWS_ACCESS_KEY_ID": "111111111111",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "FEATURE_GROUP": json.dumps(SPEC),
        "TABLE": table,
        "DEAD_LETTERS": queue,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(index, "_processor", None)
    entity = restaurant()
    body = {**order(entity), "ready_at": int(time.time() * 1000)}
    assert index.handler({"Records": records([body])}, None) == {"batchItemFailures": []}
    assert read(processor, entity, time.time())["orders_1h"] == 1


@pytest.mark.promise("online-features")
def test_a_write_and_a_read_keep_within_their_budgets(processor: index.Processor) -> None:
    """A hundred orders of a minute take two writes, and a read takes one query. The times are the emulator's."""
    assert processor.online
    calls: list[str] = []

    class Counting(Flaky):
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return super().__getattr__(name)

    online = OnlineFeatures(Counting(processor.online._client, "none", []), processor.online._table, SPEC)
    counting = replace(processor, online=online)
    entity = restaurant()
    deliver(counting, records([order(entity, f"o-{n}") for n in range(100)]))
    assert calls == ["update_item", "update_item"]
    calls.clear()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        online.read(entity, NOW)
        seconds.append(time.perf_counter() - start)
    assert calls == ["query"] * 20
    assert statistics.median(seconds) < 0.1
