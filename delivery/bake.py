"""``python -m delivery.bake ACCOUNT --minutes N``: watches an account's alarms for a while after a deployment.

Watches every CloudWatch alarm of the platform's stacks, and those that the account's wave lists in
``config/delivery.toml``. The first alarm in state ALARM ends it with exit status 1, which stops the promotion.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from config.delivery import DELIVERY, load_delivery
from config.loader import ConfigError
from delivery.assembly import ASSEMBLY, Stack, stacks_of
from delivery.errors import DeliveryError
from delivery.sessions import Reader
from delivery.smoke import deployed

Alarms = Mapping[Stack, Sequence[str]]
"""Names of alarms, by a stack in the same account and Region."""

_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_PAUSE_SECONDS = 60
_MOST_NAMES = 100
"""The maximum of names in one call of DescribeAlarms."""


def alarms_of(stacks: Sequence[Stack], reader: Reader, *, further: Sequence[str] = ()) -> Alarms:
    """The alarms that the stacks deployed.

    :param further: names of additional alarms, in the account and Region of the first stack.
    :raises DeliveryError: if there is no alarm, because nothing would be watched.
    """
    alarms = {
        stack: [alarm.physical_id for alarm in deployed(stack, reader, *_TYPES)]
        for stack in stacks
        if stack.resources(*_TYPES)
    }
    if further:
        alarms[stacks[0]] = [*alarms.get(stacks[0], []), *further]
    if not any(alarms.values()):
        raise DeliveryError("no stack has an alarm to watch; deploy first, or list alarms in the account's wave")
    return alarms


def watch(
    alarms: Alarms,
    *,
    minutes: float,
    reader: Callable[[], Reader] = Reader,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Check once a minute, until an alarm is in state ALARM or the time is over.

    :param reader: creates access for one check; its credentials last an hour.
    :return: one line for each problem; empty if no alarm went off.
    :raises DeliveryError: if an alarm does not exist.
    """
    for look in range(round(minutes * 60 / _PAUSE_SECONDS) + 1):
        if look:
            sleep(_PAUSE_SECONDS)
        if on := list(_on(alarms, reader())):
            return on
    return []


def _on(alarms: Alarms, reader: Reader) -> Iterator[str]:
    for stack, names in alarms.items():
        states = _states(reader.client("cloudwatch", stack), names)
        if missing := sorted(set(names) - set(states)):
            raise DeliveryError(f"{stack.region}: no such alarm: {', '.join(missing)}; correct alarms in its wave")
        for name, alarm in states.items():
            if alarm["StateValue"] == "ALARM":
                yield f"{stack.region}: alarm {name} is in state ALARM: {alarm.get('StateReason', 'no reason given')}"


def _states(client: Any, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(names), _MOST_NAMES):
        answer = client.describe_alarms(
            AlarmNames=list(names[start : start + _MOST_NAMES]),
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
            MaxRecords=_MOST_NAMES,
        )
        for alarm in (*answer["MetricAlarms"], *answer["CompositeAlarms"]):
            found[alarm["AlarmName"]] = alarm
    return found


def _further(account: str, file: Path = DELIVERY) -> tuple[str, ...]:
    """The alarms that the account's wave lists."""
    waves = load_delivery(file).waves if file.exists() else ()
    return next((wave.alarms for wave in waves if account in wave.accounts), ())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m delivery.bake", description=__doc__)
    parser.add_argument("account", help="name of an account file")
    parser.add_argument("--minutes", type=float, required=True, help="duration; 0 checks once")
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="folder of the templates; default: cdk.out")
    options = parser.parse_args(arguments)
    try:
        alarms = alarms_of(stacks_of(options.account, options.assembly), Reader(), further=_further(options.account))
        print(f"{options.account}: watching {sum(map(len, alarms.values()))} alarms for {options.minutes:g} minutes")
        sys.stdout.flush()
        problems = watch(alarms, minutes=options.minutes)
    except (ConfigError, DeliveryError, BotoCoreError, ClientError) as error:
        print(f"bake: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{options.account}: no alarm went off")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
