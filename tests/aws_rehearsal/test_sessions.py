"""Sessions of roles, which services of AWS take at the same time."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads take turns after each few instructions, so that what can go wrong between two of them does."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("frequent_switches")
def test_steps_that_run_at_the_same_time_take_sessions_of_their_role(monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.services import sts

    from aws_rehearsal.emulator import sessions

    monkeypatch.setattr(sts, "_sessions", {})
    monkeypatch.setattr(sts, "register_session", sessions.one_at_a_time(sts.register_session))

    def take(step: int) -> str:
        return sessions.session_of("arn:aws:iam::000000000000:role/runs", f"step-{step}").key

    with ThreadPoolExecutor(max_workers=8) as steps:
        keys = list(steps.map(take, range(2000)))

    assert set(keys) == set(sts._sessions)
    assert len(set(keys)) == 2000
