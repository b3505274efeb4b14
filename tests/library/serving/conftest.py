from collections.abc import Iterator

import pytest

from tests.library.offers import Offer, offering


@pytest.fixture(scope="module")
def offer() -> Iterator[Offer]:
    with offering("serving", "edge") as check:
        yield check
