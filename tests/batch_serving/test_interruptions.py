"""Runs that are killed before or after any of their calls to AWS, or meet another pod of theirs at any of them.

The call after which a run is killed has been carried out, but the run does not know.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.batch_serving.conftest import Place

FILES = {"a": 5, "b": 1, "c": 4}
ROWS = [f"{name}-{number}" for name, count in FILES.items() for number in range(count)]


class Killed(BaseException):
    """The process is gone: nothing that handles errors may run."""


class Calls:
    """Counts the calls of a place's clients, and acts at one of them.

    :param call: at which, from 1.
    :param after: when AWS has carried it out, rather than before it is sent.
    :param action: what happens. Default: the run is killed.
    """

    def __init__(
        self, place: Place, call: int, *, after: bool = False, action: Callable[[], Any] | None = None
    ) -> None:
        self.count, self.reached = 0, False
        self._call, self._after, self._action = call, after, action
        self._events = [place.s3.meta.events, place.dynamodb.meta.events]
        self._thread = threading.get_ident()

    def __enter__(self) -> "Calls":
        for events in self._events:
            events.register_first("before-call", self._before)
            events.register_last("after-call", self._answered)
        return self

    def __exit__(self, *_: object) -> None:
        for events in self._events:
            events.unregister("before-call", self._before)
            events.unregister("after-call", self._answered)

    def _before(self, **_: Any) -> None:
        if self.reached and self._action is None:
            raise Killed
        if not self.reached:
            self.count += 1
            if self.count == self._call and not self._after:
                self._act()

    def _answered(self, **_: Any) -> None:
        if self.count == self._call and self._after and not self.reached:
            self._act()

    def _act(self) -> None:
        self.reached = True
        if self._action is None:
            raise Killed
        self._action()


def new_data(new_place: Callable[[], Place]) -> Place:
    place = new_place()
    place.give(
        **{
            name: [{"id": f"{name}-{number}", "value": number} for number in range(count)]
            for name, count in FILES.items()
        }
    )
    return place


def expect_every_row_once(place: Place) -> None:
    assert [found["id"] for found in place.written()] == ROWS
    assert [found["prediction"] for found in place.written()] == [2 * int(id.partition("-")[2]) for id in ROWS]
    assert {id: item["prediction"] for id, item in place.items().items()} == {
        id: str(2 * int(id.partition("-")[2])) for id in ROWS
    }


def calls_of_a_run(new_place: Callable[[], Place]) -> int:
    place = new_data(new_place)
    with Calls(place, 0) as calls:
        place.run().complete()
    return calls.count


@pytest.mark.promise("batch-serving")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_is_killed_at_any_call_continues_without_a_lost_or_doubled_row(
    new_place: Callable[[], Place], after: bool
) -> None:
    total = calls_of_a_run(new_place)
    assert total > 20
    for call in range(1, total + 1):
        place = new_data(new_place)
        with Calls(place, call, after=after) as calls, pytest.raises(Killed):
            place.run().complete()
        assert calls.reached
        assert place.run().complete().rows == len(ROWS)
        expect_every_row_once(place)


@pytest.mark.promise("batch-serving")
@given(kills=st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_that_is_killed_again_and_again_ends_with_every_row_once(
    new_place: Callable[[], Place], kills: Sequence[tuple[int, bool]]
) -> None:
    place = new_data(new_place)
    for call, after in kills:
        with Calls(place, call, after=after):
            try:
                place.run().complete()
            except Killed:
                continue
    place.run().complete()
    expect_every_row_once(place)


@pytest.mark.promise("batch-serving")
def test_two_pods_of_a_run_that_meet_at_any_call_write_every_row_once(new_place: Callable[[], Place]) -> None:
    """As when a node is cut off, and its pod goes on while another one replaces it."""
    for call in range(1, calls_of_a_run(new_place) + 1):
        place = new_data(new_place)
        with Calls(place, call, action=place.run().complete) as calls:
            summary = place.run().complete()
        assert calls.reached
        assert summary.rows == len(ROWS)
        expect_every_row_once(place)
