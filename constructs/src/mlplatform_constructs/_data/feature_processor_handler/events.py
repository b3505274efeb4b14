"""Parses events, and reports the mistakes of invalid ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

MAX_TEXT = 256
"""Characters of an entity or event id."""
EARLIEST_TIME = 10**12
"""September 2001, in milliseconds; as seconds it would be far in the future, so the two cannot be mixed up."""
MAX_CLOCK_SKEW_SECONDS = 300
"""How far a producer's clock may be ahead."""
MAX_VALUE = Decimal(10) ** 18
"""With the resolution, at most 27 digits: a sum of 10^11 values fits DynamoDB's 38 and is therefore exact."""
RESOLUTION = Decimal("1e-9")


class Malformed(Exception):
    """The record is not an event of the group. The message contains the reason."""


@dataclass(frozen=True)
class Event:
    """A checked event. ``time`` is in milliseconds since 1970, UTC."""

    entity: str
    id: str
    time: int
    values: Mapping[str, Decimal]


def parse(data: bytes, spec: Mapping[str, Any], now: float) -> Event:
    """Read one record of the stream.

    :param data: a JSON object in UTF-8; fields that the group does not know are ignored.
    :param spec: the feature group, as ``FeatureGroup.to_spec`` renders it.
    :param now: seconds since 1970.
    :raises Malformed: if it is anything else than an event of the group.
    """
    try:
        body = json.loads(data, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Malformed(f"not JSON in UTF-8: {error}") from None
    if not isinstance(body, dict):
        raise Malformed("not a JSON object")
    return Event(
        entity=_text(body, spec["entity"]),
        id=_text(body, spec["event_id"]),
        time=_time(body, spec["event_time"], now),
        values={name: _number(body, name, type_) for name, type_ in spec["measures"].items()},
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _value(body: Mapping[str, Any], name: str) -> Any:
    if body.get(name) is None:
        raise Malformed(f"{name}: missing")
    return body[name]


def _text(body: Mapping[str, Any], name: str) -> str:
    value = _value(body, name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise Malformed(f"{name}: must be text of 1 to {MAX_TEXT} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed(f"{name}: must be text that UTF-8 can hold") from None
    return value


def _time(body: Mapping[str, Any], name: str, now: float) -> int:
    value = _value(body, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < EARLIEST_TIME:
        raise Malformed(f"{name}: must be whole milliseconds since 1970, after 2001")
    if value > (now + MAX_CLOCK_SKEW_SECONDS) * 1000:
        raise Malformed(f"{name}: more than {MAX_CLOCK_SKEW_SECONDS} seconds in the future")
    return value


def _number(body: Mapping[str, Any], name: str, type_: str) -> Decimal:
    value = _value(body, name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Malformed(f"{name}: must be a number")
    if not -MAX_VALUE < value < MAX_VALUE:
        raise Malformed(f"{name}: must be smaller than 10^18")
    number = Decimal(value)
    if type_ == "bigint" and number != number.to_integral_value():
        raise Malformed(f"{name}: must be a whole number")
    return number.quantize(RESOLUTION, rounding=ROUND_HALF_EVEN)
