"""The online store: one item for each entity and bucket of event time, with the values that a window aggregates.

============ ====== ===============================================================
attribute    type   meaning
============ ====== ===============================================================
entity       text   partition key
bucket       number sort key: when the bucket begins, in seconds since 1970
events       bytes  digests of the events that were added, so that none counts twice
count_<name> number how many of them had the measure
sum_<name>   number sum of the measure
expires_at   number when no window can reach the bucket any more (time to live)
============ ====== ===============================================================

Counts belong to measures: a bucket from before a measure was added to the group has neither count nor sum of it.
Buckets of earlier versions have one ``count`` instead, of every measure that they have a sum of.

Additions commute, and an event is added under the condition that its digest is absent. Hence any order of arrival and
any number of deliveries leave the same items.
"""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from .events import Event

EVENTS_A_WRITE = 50
"""A condition of DynamoDB may have 300 operators; each event takes three."""
EXPIRY_SLACK_SECONDS = 600
"""The clocks of writers, readers and DynamoDB may differ by this much."""

_EXACT = Context(prec=38)
"""The precision of a DynamoDB number: no sum is rounded, regardless of the order."""
_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class BucketFull(Exception):
    """The bucket's item has reached DynamoDB's limit of 400 kB, about 20,000 events of one entity in one bucket."""


class OnlineFeatures:
    """The online features of one group.

    :param client: boto3's client of DynamoDB.
    :param table: name of the group's table.
    :param spec: the feature group, as ``FeatureGroup.to_spec`` renders it.
    """

    def __init__(self, client: Any, table: str, spec: Mapping[str, Any]) -> None:
        self._client = client
        self._table = table
        self._spec = spec
        self._span: int = spec["bucket_seconds"]
        self._reach: int = max(feature["window_seconds"] for feature in spec["online"])

    def bucket_of(self, event: Event) -> int:
        """When the bucket of an event begins, in seconds since 1970."""
        return self._floor(event.time / 1000)

    def is_late(self, event: Event, now: float) -> bool:
        """Whether no window that is read from ``now`` on (seconds since 1970) reaches back to the event."""
        return self.bucket_of(event) <= self._floor(now) - self._reach

    def add(self, entity: str, bucket: int, events: Sequence[Event]) -> int:
        """Add events of one entity and bucket, except those that were already added.

        :returns: the number of new events.
        :raises BucketFull: if the bucket is full; no event of the failing part was added.
        """
        fresh: dict[bytes, Event] = {}
        for event in events:
            fresh.setdefault(_digest(event), event)
        digests = list(fresh)
        added = 0
        for start in range(0, len(digests), EVENTS_A_WRITE):
            some = digests[start : start + EVENTS_A_WRITE]
            added += self._add(entity, bucket, {digest: fresh[digest] for digest in some})
        return added

    def read(self, entity: str, now: float) -> dict[str, int | float | None]:
        """Every online feature of an entity at ``now`` (seconds since 1970), by name.

        A window ends with the bucket that ``now`` is in, so it spans its length less at most one bucket. Without an
        event in it a count is 0 and anything else None. One query; it does not wait for the latest write.
        """
        newest = self._floor(now)
        items = self._buckets(entity, newest - self._reach + self._span, newest)
        features: dict[str, int | float | None] = {}
        for feature in self._spec["online"]:
            oldest = newest - feature["window_seconds"] + self._span
            window = [item for item in items if item["bucket"] >= oldest]
            features[feature["name"]] = self._aggregate(feature, window)
        return features

    def _floor(self, seconds: float) -> int:
        return int(seconds // self._span) * self._span

    def _add(self, entity: str, bucket: int, fresh: dict[bytes, Event]) -> int:
        """One write; if some events turn out to be there already, a second one without them."""
        while fresh:
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"entity": {"S": entity}, "bucket": {"N": str(bucket)}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **self._addition(bucket, fresh),
                )
                return len(fresh)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    there = _digests(error.response["Item"])
                    fresh = {digest: event for digest, event in fresh.items() if digest not in there}
                elif _is_full(error):
                    raise BucketFull(f"{entity}: the bucket that begins at {bucket} is full") from None
                else:
                    raise
        return 0

    def _addition(self, bucket: int, fresh: Mapping[bytes, Event]) -> dict[str, Any]:
        with localcontext(_EXACT):
            sums = {name: sum((e.values[name] for e in fresh.values()), Decimal()) for name in self._spec["measures"]}
        values: dict[str, Any] = {
            ":events": set(fresh),
            ":added": len(fresh),
            ":expires_at": bucket + self._reach + self._span + EXPIRY_SLACK_SECONDS,
            **{f":d{n}": digest for n, digest in enumerate(fresh)},
            **{f":s{n}": total for n, total in enumerate(sums.values())},
        }
        additions = ["#events :events", *(f"#c{n} :added, #s{n} :s{n}" for n in range(len(sums)))]
        return {
            "UpdateExpression": f"ADD {', '.join(additions)} SET expires_at = :expires_at",
            "ConditionExpression": " AND ".join(f"NOT contains(#events, :d{n})" for n in range(len(fresh))),
            "ExpressionAttributeNames": {
                "#events": "events",
                **self._attributes(),
            },
            "ExpressionAttributeValues": {name: _serialize(value) for name, value in values.items()},
        }

    def _attributes(self) -> dict[str, str]:
        """Attributes of every measure, by the placeholders of expressions."""
        return {
            f"#{letter}{n}": f"{what}_{name}"
            for n, name in enumerate(self._spec["measures"])
            for letter, what in (("c", "count"), ("s", "sum"))
        }

    def _buckets(self, entity: str, oldest: int, newest: int) -> list[dict[str, Any]]:
        names = {"#count": "count", "#bucket": "bucket", **self._attributes()}
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "entity = :entity AND #bucket BETWEEN :oldest AND :newest",
            "ProjectionExpression": ", ".join(names),
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": {
                ":entity": {"S": entity},
                ":oldest": {"N": str(oldest)},
                ":newest": {"N": str(newest)},
            },
        }
        items: list[dict[str, Any]] = []
        while True:
            page = self._client.query(**query)
            items += [{name: _deserialize(value) for name, value in item.items()} for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return items
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _aggregate(self, feature: Mapping[str, Any], window: Sequence[Mapping[str, Any]]) -> int | float | None:
        measure = feature["of"]
        window = [item for item in window if f"sum_{measure}" in item]
        count = sum(int(item.get(f"count_{measure}", 0)) + int(item.get("count", 0)) for item in window)
        if feature["aggregate"] == "count":
            return count
        if not count:
            return None
        with localcontext(_EXACT):
            total = sum((item[f"sum_{measure}"] for item in window), Decimal())
            if feature["aggregate"] == "mean":
                return float(total / count)
        return int(total) if self._spec["measures"][measure] == "bigint" else float(total)


def _digest(event: Event) -> bytes:
    """16 bytes instead of an id of any length; two of 10^12 ids share one with a probability of 10^-15."""
    return hashlib.sha256(f"{event.time}/{event.id}".encode()).digest()[:16]


def _digests(item: Mapping[str, Any]) -> set[bytes]:
    there = _deserialize(item["events"])
    return {digest.value if isinstance(digest, Binary) else digest for digest in there}


def _is_full(error: ClientError) -> bool:
    details = error.response["Error"]
    return details["Code"] == "ValidationException" and "size" in details.get("Message", "").lower()
