"""S3 and DynamoDB of an AWS emulator on loopback, with a data set, a model in memory, and runs over them."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config

import tests.library.conftest as library
from batch_serving import Predictor, Run
from batch_serving.predictor import UnpredictableRecord
from batch_serving.store import Address, Store
from batch_serving.table import Table
from tests.batch_serving.real_mysql import MySql, missing, running

BUCKET = "batch"

emulator = library.emulator


@pytest.fixture(scope="session")
def client(emulator: str) -> Callable[[str], Any]:
    """``client("s3")`` is a new client of the emulator; what fails here fails for a reason."""
    keys = {"aws_access_key_id": "111111111111", "aws_secret_access_key": "test", "region_name": "eu-west-1"}
    config = Config(retries={"total_max_attempts": 1})
    return lambda service: boto3.Session(**keys).client(service, endpoint_url=emulator, config=config)


@pytest.fixture(scope="session")
def s3(client: Callable[[str], Any]) -> Any:
    found = client("s3")
    found.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return found


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MySql]:
    """A server with an empty database."""
    if reason := missing():
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("mysql")) as server:
        yield server


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count()


@dataclass
class Place:
    """A data set of its own, a table, and runs that predict twice the value of a record.

    - ``loaded``: how often each version was loaded.
    """

    s3: Any
    dynamodb: Any
    name: str
    loaded: Counter[int] = field(default_factory=Counter)
    newest: int = 7

    @property
    def relation(self) -> str:
        """Name of its table in a relational database."""
        return self.name.replace("-", "_")

    def give(self, **files: Sequence[Any]) -> None:
        """Write files of JSON lines."""
        for name, records in files.items():
            body = "".join(f"{json.dumps(record)}\n" for record in records)
            self.put(name, body)

    def put(self, name: str, body: str) -> None:
        """Write one file as it is."""
        self.s3.put_object(Bucket=BUCKET, Key=f"{self.name}/data/{name}.jsonl", Body=body.encode())

    def run(self, **changes: Any) -> Run:
        """A run of the name ``monday``."""
        given: dict[str, Any] = {
            "store": Store(self.s3),
            "data": Address(BUCKET, f"{self.name}/data/"),
            "predictions": Address(BUCKET, f"{self.name}/predictions"),
            "name": "monday",
            "model": "double",
            "newest": lambda: self.newest,
            "load": self.load,
            "sinks": [Table(self.name, self.dynamodb)],
            "rows_per_part": 3,
        }
        return Run(**{**given, **changes})

    @contextmanager
    def load(self, version: int) -> Iterator[Predictor]:
        self.loaded[version] += 1
        yield self._predict

    def _predict(self, records: Sequence[Any]) -> list[Any]:
        for number, record in enumerate(records):
            if not isinstance(record.get("value"), int):
                raise UnpredictableRecord(number, "value must be a number")
        return [2 * record["value"] for record in records]

    def written(self, run: str = "monday") -> list[dict[str, Any]]:
        """The predictions of all parts, in order."""
        prefix = f"{self.name}/predictions/{run}/part-"
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        texts = [self.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read().decode() for item in found]
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def items(self) -> dict[str, dict[str, Any]]:
        """The items of the table by id."""
        found = self.dynamodb.scan(TableName=self.name)["Items"]
        return {item["id"]["S"]: {key: next(iter(value.values())) for key, value in item.items()} for item in found}


@pytest.fixture
def new_place(s3: Any, client: Callable[[str], Any], _numbers: Iterator[int]) -> Callable[[], Place]:
    """Each call is a place that nothing was written to."""
    dynamodb = client("dynamodb")

    def make() -> Place:
        name = f"place-{next(_numbers)}"
        keys = (("model", "HASH"), ("id", "RANGE"))
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
        )
        return Place(s3, dynamodb, name)

    return make


@pytest.fixture
def place(new_place: Callable[[], Place]) -> Place:
    return new_place()
