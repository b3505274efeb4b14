"""Lists the objects below a prefix with many requests at the same time.

S3 answers a thousand keys a request, one after the other, about 0.1 to 0.2 s each. Keys are in the order of their UTF-8
bytes, and a listing can begin after any text. So a range of keys whose first page is not the last is cut at texts that
are likely to lie between its keys, and the pieces are listed concurrently. A cut at a wrong place costs one request and
loses no key.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import os.path
import queue
import string
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from job_adviser.dataset import Tally
from job_adviser.errors import AdviserError
from job_adviser.places import Place, explained

THREADS = 16
_ALPHABETS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
_CUTS = 24
"""At most this many pieces of one range."""


@dataclass(frozen=True)
class _Range:
    """Keys after ``start``, up to and including ``stop``; None for the end of the prefix."""

    start: str | None
    stop: str | None


@dataclass
class Listing:
    """The result.

    :param complete: whether every object was counted.
    :param requests: the number of requests that it took.
    """

    tally: Tally
    complete: bool
    requests: int


def list_objects(
    client: Any, place: Place, *, seconds: float, most_objects: int = 2_000_000, threads: int = THREADS
) -> Listing:
    """Count the objects below a prefix.

    :param client: a boto3 S3 client with at least ``threads`` connections.
    :param seconds: time after which no request is started.
    :param most_objects: number of objects after which no request is started.
    :raises AdviserError: if the bucket does not exist or cannot be listed.
    """
    return _Lister(client, place, time.monotonic() + seconds, most_objects, threads).run()


class _Lister:
    def __init__(self, client: Any, place: Place, until: float, most_objects: int, threads: int) -> None:
        self._client, self._place, self._until, self._most = client, place, until, most_objects
        self._threads = threads
        self._ranges: queue.Queue[_Range | None] = queue.Queue()
        self._lock = threading.Lock()
        self._open = self._counted = 0
        self._tally, self._requests, self._complete = Tally(), 0, True
        self._error: AdviserError | None = None

    def run(self) -> Listing:
        self._put([_Range(None, None)])
        workers = [threading.Thread(target=self._work, daemon=True) for _ in range(self._threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self._error:
            raise self._error
        return Listing(self._tally, self._complete, self._requests)

    def _put(self, ranges: list[_Range]) -> None:
        with self._lock:
            self._open += len(ranges)
        for each in ranges:
            self._ranges.put(each)

    def _work(self) -> None:
        mine = Tally()
        while (each := self._ranges.get()) is not None:
            try:
                self._list(each, mine)
            except (ClientError, BotoCoreError) as error:
                self._error = explained(error, self._place)
            with self._lock:
                self._open -= 1
                is_last = self._open == 0
            if is_last:
                for _ in range(self._threads):
                    self._ranges.put(None)
        with self._lock:
            self._tally.merge(mine)

    def _list(self, keys: _Range, mine: Tally) -> None:
        """Count the keys of a range, or of its beginning if others can take the rest."""
        start = keys.start
        while True:
            if self._error or time.monotonic() > self._until or self._counted >= self._most:
                self._complete = False
                return
            arguments = {"StartAfter": start} if start else {}
            page = self._client.list_objects_v2(Bucket=self._place.bucket, Prefix=self._place.path, **arguments)
            contents = page.get("Contents", ())
            inside = [item for item in contents if keys.stop is None or item["Key"] <= keys.stop]
            with self._lock:
                self._requests += 1
                self._counted += len(inside)
            for item in inside:
                mine.add(item["Key"], item["Size"], item.get("StorageClass", "STANDARD"))
                start = item["Key"]
            if len(inside) < len(contents) or not page.get("IsTruncated") or start is None or start == keys.stop:
                return
            if self._ranges.qsize() < self._threads:
                cuts = _cuts(contents[0]["Key"], start, len(self._place.path), keys.stop)
                if cuts:
                    self._put([_Range(one, other) for one, other in pairwise([*cuts, keys.stop])])
                    keys = _Range(start, cuts[0])


def _cuts(first: str, last: str, fixed: int, stop: str | None) -> list[str]:
    """Texts after ``last``, in order, that likely have keys between them.

    From the position on in which the keys of the page begin to differ, the character of ``last`` is counted up in its
    own alphabet: after ``part-0099`` come ``part-01`` to ``part-09`` and ``part-1`` to ``part-9``.

    :param first: first key of the page that ends with ``last``.
    :param fixed: number of characters that all keys share.
    """
    common = len(os.path.commonprefix([first, last]))
    found: set[str] = set()
    for position in range(max(fixed, common - 1), len(last)):
        alphabet = next((each for each in _ALPHABETS if last[position] in each), "")
        following = alphabet[alphabet.index(last[position]) + 1 :] if alphabet else ""
        texts = (last[:position] + character for character in following)
        found |= {text for text in texts if stop is None or text < stop}
        if len(found) >= _CUTS:
            break
    return sorted(found)[:: max(1, len(found) // _CUTS)]
