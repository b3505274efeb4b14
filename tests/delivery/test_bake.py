from pathlib import Path
from typing import Any

import pytest

from delivery import bake
from delivery.bake import alarms_of, watch
from delivery.errors import DeliveryError
from tests.delivery.read_only_accounts import Accounts, stack

ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"


def state(name: str, value: str = "OK", reason: str = "Threshold Crossed") -> dict[str, Any]:
    return {"AlarmName": name, "StateValue": value, "StateReason": reason}


def said(*metric: dict[str, Any], composite: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"MetricAlarms": list(metric), "CompositeAlarms": list(composite)}


@pytest.fixture
def audit(tmp_path: Path) -> Any:
    return stack(tmp_path, "Audit", {"RootUsed": ALARM, "Platform": COMPOSITE, "Topic": "AWS::SNS::Topic"})


@pytest.fixture
def deployed(audit: Any) -> dict[Any, dict[str, str]]:
    return {audit: {"RootUsed": "root-1", "Platform": "platform-1", "Topic": "arn"}}


def test_the_alarms_of_the_stacks_and_of_the_wave_are_watched(audit: Any, deployed: Any, tmp_path: Path) -> None:
    network = stack(tmp_path, "Network", {"Vpc": "AWS::EC2::VPC"})
    alarms = alarms_of([network, audit], Accounts(deployed), further=["latency"])
    assert alarms == {network: ["latency"], audit: ["root-1", "platform-1"]}


def test_alarms_of_other_regions_are_watched_there(audit: Any, deployed: Any, tmp_path: Path) -> None:
    replica = stack(tmp_path, "Replica", {"Lag": ALARM}, region="eu-central-1")
    assert alarms_of([audit, replica], Accounts(deployed | {replica: {"Lag": "lag-1"}}))[replica] == ["lag-1"]


def test_fails_where_nothing_would_be_watched(tmp_path: Path) -> None:
    network = stack(tmp_path, "Network", {"Vpc": "AWS::EC2::VPC"})
    with pytest.raises(DeliveryError, match="^no stack has an alarm to watch; deploy first, or list alarms"):
        alarms_of([network], Accounts({network: {"Vpc": "vpc-1"}}))


def test_quiet_minutes_pass(audit: Any, deployed: Any) -> None:
    quiet = said(state("root-1"), composite=(state("platform-1", "INSUFFICIENT_DATA"),))
    accounts, slept = Accounts(deployed, {("cloudwatch", "describe_alarms"): quiet}), []
    alarms = alarms_of([audit], accounts)
    assert watch(alarms, minutes=3, reader=lambda: accounts, sleep=slept.append) == []
    assert slept == [60, 60, 60]
    assert len(accounts.asked) == 4
    assert accounts.asked[0][2]["AlarmTypes"] == ["MetricAlarm", "CompositeAlarm"]


def test_the_first_alarm_ends_it_with_its_name_and_reason(audit: Any, deployed: Any) -> None:
    quiet = said(state("root-1"), composite=(state("platform-1"),))
    loud = said(state("root-1"), composite=(state("platform-1", "ALARM", "pods do not start"),))
    accounts, slept = Accounts(deployed, {("cloudwatch", "describe_alarms"): [quiet, quiet, loud]}), []
    problems = watch(alarms_of([audit], accounts), minutes=30, reader=lambda: accounts, sleep=slept.append)
    assert problems == ["eu-west-1: alarm platform-1 is in state ALARM: pods do not start"]
    assert slept == [60, 60]


def test_an_alarm_that_is_on_from_the_start_counts(audit: Any, deployed: Any) -> None:
    loud = said(state("root-1", "ALARM"), composite=(state("platform-1"),))
    accounts = Accounts(deployed, {("cloudwatch", "describe_alarms"): loud})
    assert watch(alarms_of([audit], accounts), minutes=0, reader=lambda: accounts) == [
        "eu-west-1: alarm root-1 is in state ALARM: Threshold Crossed"
    ]


def test_access_is_renewed_for_each_check(audit: Any, deployed: Any) -> None:
    """A role that is taken with a role's credentials lasts an hour, a bake may last seven."""
    quiet = said(state("root-1"), composite=(state("platform-1"),))
    accounts = Accounts(deployed, {("cloudwatch", "describe_alarms"): quiet})
    made: list[Accounts] = []

    def reader() -> Any:
        made.append(accounts)
        return accounts

    watch(alarms_of([audit], accounts), minutes=2, reader=reader, sleep=lambda seconds: None)
    assert len(made) == 3


def test_fails_where_an_alarm_of_the_wave_does_not_exist(audit: Any, deployed: Any) -> None:
    quiet = said(state("root-1"), composite=(state("platform-1"),))
    accounts = Accounts(deployed, {("cloudwatch", "describe_alarms"): quiet})
    alarms = alarms_of([audit], accounts, further=["latncy"])
    with pytest.raises(DeliveryError, match="^eu-west-1: no such alarm: latncy; correct alarms in its wave$"):
        watch(alarms, minutes=1, reader=lambda: accounts)


def test_many_alarms_are_asked_for_in_parts(tmp_path: Path) -> None:
    many = {f"Alarm{i}": ALARM for i in range(150)}
    audit = stack(tmp_path, "Audit", many)
    halves = [said(*(state(f"Alarm{i}") for i in part)) for part in (range(100), range(100, 150))]
    accounts = Accounts({audit: {id: id for id in many}}, {("cloudwatch", "describe_alarms"): halves})
    assert watch(alarms_of([audit], accounts), minutes=0, reader=lambda: accounts) == []
    assert [len(parameters["AlarmNames"]) for _, _, parameters in accounts.asked] == [100, 50]


def test_the_program_names_what_is_missing_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bake.main(["dev", "--minutes", "1", "--assembly", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"bake: {tmp_path}: no cloud assembly; run `make synth` first\n"
