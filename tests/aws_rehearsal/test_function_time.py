"""The time that functions have where pods share the processors of this machine."""

import pytest


@pytest.mark.parametrize(("given", "has"), [({}, 15), ({"Timeout": 10}, 50), ({"Timeout": 600}, 900)])
def test_a_function_has_five_times_its_time_but_no_more_than_any_function(
    given: dict[str, int], has: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINISTACK_TEST_NO_AUTOSTART", "1")
    from aws_rehearsal.emulator.lambda_workers import _patient

    assert _patient({"FunctionName": "sign-in", **given}) == {"FunctionName": "sign-in", "Timeout": has}
