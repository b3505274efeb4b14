"""The marker ``promise``: a test with this marker is evidence for the promises in its arguments."""

import pytest

from promises.evidence import unknown
from promises.record import ids


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse markers with unknown promises.

    :raises pytest.UsageError: with the test, the id and the fix for each.
    """
    known = ids()
    mistakes = [
        f"{item.nodeid}: {mistake}"
        for item in items
        for mark in item.iter_markers("promise")
        for mistake in _mistakes(mark, known)
    ]
    if mistakes:
        raise pytest.UsageError("\n".join(mistakes))


def _mistakes(mark: pytest.Mark, known: frozenset[str]) -> list[str]:
    if not mark.args or mark.kwargs:
        return ['promise without an id; write ids as arguments, such as promise("gpu-from-zero")']
    return [unknown(id) for id in mark.args if id not in known]
