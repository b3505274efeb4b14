"""The whole feature store, deployed to an AWS emulator: events in, online and offline features out."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aws_cdk as cdk
import pytest

from mlplatform_constructs import DataBucket, Feature, FeatureGroup, FeatureStore
from mlplatform_constructs._data.feature_processor_handler.online import OnlineFeatures

WEEKLY = Feature(
    name="preparation_seconds_mean_7d", aggregate="mean", of="preparation_seconds", window=timedelta(days=7)
)
HOURLY = Feature(
    name="preparation_seconds_mean_1h", aggregate="mean", of="preparation_seconds", window=timedelta(hours=1)
)
PREPARATION = FeatureGroup(
    name="restaurant_preparation",
    entity="restaurant_id",
    event_id="order_id",
    event_time="ready_at",
    measures={"preparation_seconds": "double"},
    offline=(WEEKLY,),
    online=(HOURLY,),
)
PARTS = ("EventsStream", "EventsTable", "DeadLetters", "StateMachine", "WorkGroup", "CatalogDatabase")


@pytest.fixture
def deployed(stack: cdk.Stack, deploy: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The store in an AWS emulator: the physical id of each resource, by logical id."""
    FeatureStore(stack, "Features", bucket=DataBucket(stack, "Bucket"), groups=[PREPARATION])
    return deploy()


def eventually(holds: Callable[[], Any]) -> Any:
    """Wait until ``holds`` does, for a minute at most."""
    deadline = time.monotonic() + 60
    while not (answer := holds()):
        assert time.monotonic() < deadline, "it did not come in a minute"
        time.sleep(0.2)
    return answer


@pytest.mark.promise("scheduled-features", "offline-features", "streamed-features", "online-features")
def test_events_become_online_and_offline_features_in_an_embedded_aws(
    deployed: dict[str, str], aws: Callable[[str], Any]
) -> None:
    """Stream, function, table, archive, catalog, job and query work together, each by the service's own API.

    The emulator's Step Functions cannot wait for Athena and its Athena cannot UNLOAD: the job starts its three
    statements without waiting, and of the first one the SELECT is then run.
    """
    ids = {name: next(id for key, id in deployed.items() if name in key) for name in PARTS}
    now = datetime.now(UTC)
    seconds = {"1": 600.0, "2": 900.0, "3": 1500.0}
    orders = [order(id, now - timedelta(minutes=int(id)), value) for id, value in seconds.items()]
    old = order("4", now - timedelta(hours=5), 2000.0)  # too late for an hour, in time for a week
    sent = [*orders, orders[0], old, b"nonsense"]
    aws("kinesis").put_records(
        StreamName=ids["EventsStream"],
        Records=[{"Data": data, "PartitionKey": "trattoria"} for data in sent],
    )
    online = OnlineFeatures(aws("dynamodb"), ids["EventsTable"], PREPARATION.to_spec())
    eventually(lambda: online.read("trattoria", now.timestamp())["preparation_seconds_mean_1h"] == 1000.0)
    [letter] = eventually(lambda: aws("sqs").receive_message(QueueUrl=ids["DeadLetters"]).get("Messages"))
    assert json.loads(letter["Body"])["reason"].startswith("not JSON")
    bucket = deployed["BucketD7FEB781"]
    events = "events/restaurant_preparation/dt="
    eventually(lambda: aws("s3").list_objects_v2(Bucket=bucket, Prefix=events)["KeyCount"] == 5)

    statements = run_job(aws, ids["StateMachine"], ids["WorkGroup"], as_of=now + timedelta(hours=1))
    partition = f"{now + timedelta(hours=1):%Y-%m-%d-%H}"
    [place] = {match for text in statements for match in re.findall(r"'(s3://[^']*)'", text)}
    assert re.fullmatch(rf"s3://{bucket}/offline/restaurant_preparation/as_of={partition}/run=[-0-9a-f]{{36}}/", place)
    assert [text.split()[0] for text in statements] == ["UNLOAD", "ALTER", "ALTER"]
    assert not any("<" in text.replace("< date_diff", "") for text in statements)

    select = statements[0].removeprefix("UNLOAD (").partition(") TO 's3://")[0]
    assert ask(aws, select, ids) == [["restaurant_id", WEEKLY.name], ["trattoria", "1250.0"]]


def order(id: str, ready_at: datetime, seconds: float) -> bytes:
    body = {
        "restaurant_id": "trattoria",
        "order_id": id,
        "ready_at": int(ready_at.timestamp() * 1000),
        "preparation_seconds": seconds,
    }
    return json.dumps(body).encode()


def run_job(aws: Callable[[str], Any], machine: str, work_group: str, as_of: datetime) -> list[str]:
    """Start the job for a time; returns the statements that it gave to Athena, in their order."""
    states, athena = aws("stepfunctions"), aws("athena")
    definition = states.describe_state_machine(stateMachineArn=machine)["definition"]
    waiting, not_waiting = "states:::athena:startQueryExecution.sync", "states:::aws-sdk:athena:startQueryExecution"
    assert definition.count(waiting) == 3
    states.update_state_machine(stateMachineArn=machine, definition=definition.replace(waiting, not_waiting))
    started = states.start_execution(
        stateMachineArn=machine, input=json.dumps({"as_of": as_of.strftime("%Y-%m-%dT%H:%M:%SZ")})
    )["executionArn"]
    eventually(lambda: states.describe_execution(executionArn=started)["status"] == "SUCCEEDED")
    queries = [
        athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Query"]
        for query in athena.list_query_executions(WorkGroup=work_group)["QueryExecutionIds"]
    ]
    return sorted(queries, key=lambda text: ("UNLOAD" not in text, "SET LOCATION" in text))


def ask(aws: Callable[[str], Any], query: str, ids: dict[str, str]) -> list[list[str]]:
    """What Athena answers, the names of the columns first."""
    athena = aws("athena")
    asked = athena.start_query_execution(
        QueryString=query,
        QueryExecutionContext={"Database": ids["CatalogDatabase"]},
        WorkGroup=ids["WorkGroup"],
    )["QueryExecutionId"]

    def done() -> bool:
        status = athena.get_query_execution(QueryExecutionId=asked)["QueryExecution"]["Status"]
        assert status["State"] not in ("FAILED", "CANCELLED"), status
        return bool(status["State"] == "SUCCEEDED")

    eventually(done)
    rows = athena.get_query_results(QueryExecutionId=asked)["ResultSet"]["Rows"]
    return [[value["VarCharValue"] for value in row["Data"]] for row in rows]
