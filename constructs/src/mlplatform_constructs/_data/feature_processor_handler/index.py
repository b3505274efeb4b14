"""The Lambda function behind a feature group's stream.

A failed record does not block the shard: invalid events are sent to the dead-letter queue with the reason. If an event
cannot be stored at the moment, its sequence number is reported, and Lambda delivers again from there. Duplicates have
no effect.

Environment: FEATURE_GROUP (the group as JSON), DEAD_LETTERS (a queue's URL), TABLE (of the online store; absent without
online features), ARCHIVE (a Firehose stream; absent without offline features).
"""

import base64
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .events import Event, Malformed, parse
from .online import BucketFull, OnlineFeatures

DEAD_LETTER_BYTES = 16_384
"""How much of a record a dead letter shows; the sequence number finds all of it while the stream keeps it."""
LETTERS_A_CALL = 10
EVENTS_A_CALL = 500

Item = TypeVar("Item")


@dataclass(frozen=True)
class Record:
    """A record of the stream."""

    sequence_number: str
    shard: str
    data: bytes


@dataclass(frozen=True)
class Processor:
    """The destinations of a batch. ``archive`` and ``online`` are None in groups without offline or online features."""

    spec: Mapping[str, Any]
    sqs: Any
    dead_letters: str
    firehose: Any = None
    archive: str | None = None
    online: OnlineFeatures | None = None

    def process(self, raw_records: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any]:
        """Store a batch of a stream's records.

        :param raw_records: in Lambda's format; https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
        :param now: seconds since 1970.
        :returns: the first record that must be delivered again, in Lambda's response format.
        """
        good: list[tuple[Record, Event]] = []
        rejected: list[tuple[Record, str]] = []
        for raw in raw_records:
            record = _record(raw)
            try:
                good.append((record, parse(record.data, self.spec, now)))
            except Malformed as error:
                rejected.append((record, str(error)))
        late, again = 0, self._keep(good)
        if self.online:
            timely = [(record, event) for record, event in good if not self.online.is_late(event, now)]
            late = len(good) - len(timely)
            full, failed = self._add(self.online, timely)
            rejected += full
            again |= failed
        again |= self._reject(rejected)
        self._log(records=len(raw_records), rejected=len(rejected), late=late, again=len(again))
        return {"batchItemFailures": [{"itemIdentifier": min(again, key=int)}] if again else []}

    def _keep(self, good: Sequence[tuple[Record, Event]]) -> set[str]:
        """Keep events for the offline features. :returns: sequence numbers of those that were not taken."""
        again: set[str] = set()
        if not self.archive:
            return again
        for some in _chunks(good, EVENTS_A_CALL):
            lines = [{"Data": self._line(event)} for _, event in some]
            try:
                answer = self.firehose.put_record_batch(DeliveryStreamName=self.archive, Records=lines)
            except (BotoCoreError, ClientError) as error:
                self._log(archive=str(error))
                again |= {record.sequence_number for record, _ in some}
                continue
            outcomes = zip(some, answer["RequestResponses"], strict=True)
            again |= {record.sequence_number for (record, _), outcome in outcomes if outcome.get("ErrorCode")}
        return again

    def _add(
        self, online: OnlineFeatures, timely: Sequence[tuple[Record, Event]]
    ) -> tuple[list[tuple[Record, str]], set[str]]:
        """Add events to their buckets. :returns: what no bucket can take, with the reason; what to deliver again."""
        buckets: dict[tuple[str, int], list[tuple[Record, Event]]] = {}
        for record, event in timely:
            buckets.setdefault((event.entity, online.bucket_of(event)), []).append((record, event))
        full: list[tuple[Record, str]] = []
        again: set[str] = set()
        for (entity, bucket), members in buckets.items():
            try:
                online.add(entity, bucket, [event for _, event in members])
            except BucketFull as error:
                full += [(record, str(error)) for record, _ in members]
            except (BotoCoreError, ClientError) as error:
                self._log(online=str(error))
                again |= {record.sequence_number for record, _ in members}
        return full, again

    def _reject(self, rejected: Sequence[tuple[Record, str]]) -> set[str]:
        """Send dead letters. :returns: sequence numbers of the records whose letters were not taken."""
        again: set[str] = set()
        for some in _chunks(rejected, LETTERS_A_CALL):
            letters = [{"Id": str(n), "MessageBody": self._letter(*letter)} for n, letter in enumerate(some)]
            try:
                answer = self.sqs.send_message_batch(QueueUrl=self.dead_letters, Entries=letters)
            except (BotoCoreError, ClientError) as error:
                self._log(dead_letters=str(error))
                again |= {record.sequence_number for record, _ in some}
                continue
            again |= {some[int(failure["Id"])][0].sequence_number for failure in answer.get("Failed", [])}
        return again

    def _line(self, event: Event) -> bytes:
        """An event as the archive's table has it: the group's own columns and nothing else."""
        values = {
            name: int(event.values[name]) if type_ == "bigint" else float(event.values[name])
            for name, type_ in self.spec["measures"].items()
        }
        keys = {self.spec["entity"]: event.entity, self.spec["event_id"]: event.id, self.spec["event_time"]: event.time}
        return json.dumps(keys | values).encode() + b"\n"

    def _letter(self, record: Record, reason: str) -> str:
        return json.dumps(
            {
                "group": self.spec["name"],
                "reason": reason,
                "shard": record.shard,
                "sequence_number": record.sequence_number,
                "bytes": len(record.data),
                "data": base64.b64encode(record.data[:DEAD_LETTER_BYTES]).decode(),
            }
        )

    def _log(self, **facts: object) -> None:
        print(json.dumps({"group": self.spec["name"], **facts}))


def _record(raw: Mapping[str, Any]) -> Record:
    kinesis = raw["kinesis"]
    shard = raw["eventID"].partition(":")[0]
    return Record(kinesis["sequenceNumber"], shard, base64.b64decode(kinesis["data"]))


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def from_environment() -> Processor:
    """The processor that the function's environment describes."""
    spec = json.loads(os.environ["FEATURE_GROUP"])
    table = os.environ.get("TABLE")
    return Processor(
        spec=spec,
        sqs=boto3.client("sqs"),
        dead_letters=os.environ["DEAD_LETTERS"],
        firehose=boto3.client("firehose"),
        archive=os.environ.get("ARCHIVE"),
        online=OnlineFeatures(boto3.client("dynamodb"), table, spec) if table else None,
    )


_processor: Processor | None = None


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry. Clients are made once for each execution environment."""
    global _processor
    _processor = _processor or from_environment()
    return _processor.process(event["Records"], time.time())
