"""An account's quotas and their current usage, from the account or from a record."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from delivery.assembly import Stack
from delivery.errors import DeliveryError
from delivery.preflight.quotas import Quota
from delivery.sessions import Reader

_LOOK_BACK = timedelta(hours=3)  # usage is reported every few minutes, for some quotas every hour
_NOT_THERE = "NoSuchResourceException"


@dataclass(frozen=True)
class Room:
    """One quota of an account.

    :param limit: the applied value of the quota.
    :param used: current usage, or None if AWS does not report it.
    """

    limit: float
    used: float | None = None


Rooms = dict[tuple[str, str], Room]
"""Limit and usage by Region and quota id."""


def rooms_of(stacks: Iterable[Stack], needed: Iterable[tuple[str, Quota]], reader: Reader) -> Rooms:
    """Read these quotas from an account.

    :param stacks: stacks of the account, whose read-only role is assumed.
    :raises DeliveryError: if Service Quotas cannot be called.
    """
    anywhere = next(iter(stacks))
    try:
        return {
            (region, quota.id): _room(replace(anywhere, region=region), quota, reader)
            for region, quota in sorted(needed, key=lambda one: (one[0], one[1].id))
        }
    except (BotoCoreError, ClientError) as error:
        raise DeliveryError(f"quotas of account {anywhere.account}: {error}") from None


def _room(place: Stack, quota: Quota, reader: Reader) -> Room:
    client = reader.client("service-quotas", place)
    named = {"ServiceCode": quota.service, "QuotaCode": quota.code}
    try:
        found = client.get_service_quota(**named)["Quota"]
    except ClientError as error:  # an account whose quota was never changed from the default
        if error.response["Error"]["Code"] != _NOT_THERE:
            raise
        found = client.get_aws_default_service_quota(**named)["Quota"]
    metric = None if quota.of_each else found.get("UsageMetric")
    return Room(found["Value"], _used(reader.client("cloudwatch", place), metric) if metric else None)


def _used(client: Any, metric: Mapping[str, Any]) -> float | None:
    now = datetime.now(UTC)
    points = client.get_metric_statistics(
        Namespace=metric["MetricNamespace"],
        MetricName=metric["MetricName"],
        Dimensions=[{"Name": name, "Value": value} for name, value in metric.get("MetricDimensions", {}).items()],
        StartTime=now - _LOOK_BACK,
        EndTime=now,
        Period=int(_LOOK_BACK.total_seconds()),
        Statistics=["Maximum"],
    )["Datapoints"]
    return max((point["Maximum"] for point in points), default=None)


def record(rooms: Rooms, file: Path) -> None:
    """Record an account's quotas, for a comparison without access to the account."""
    regions: dict[str, dict[str, Any]] = {}
    for (region, id), room in rooms.items():
        regions.setdefault(region, {})[id] = asdict(room)
    file.write_text(json.dumps(regions, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def recorded(file: Path) -> Rooms:
    """Load a record of quotas.

    :raises DeliveryError: if the file does not exist or is not a record of quotas.
    """
    try:
        regions = json.loads(file.read_text(encoding="utf-8"))
        return {(region, id): Room(**room) for region, ids in regions.items() for id, room in ids.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DeliveryError(f"{file}: not a record of quotas: {error}; create one with --record {file}") from None
