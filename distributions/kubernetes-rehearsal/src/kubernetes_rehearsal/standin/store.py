"""Objects in memory, with the history that watches read. Stored objects are never changed, only replaced."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kubernetes_rehearsal.standin.errors import ApiError, Object

Collection = tuple[str, str]
"""Group and plural."""
Key = tuple[str, str]
"""Namespace, empty for cluster-scoped objects, and name."""
_HISTORY = 20_000
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Event:
    """One change.

    :param kind: ``ADDED``, ``MODIFIED`` or ``DELETED``.
    :param before: the object before the change, where there was one.
    """

    revision: int
    kind: str
    collection: Collection
    found: Object
    before: Object | None


class Store:
    """All objects of one cluster. ``lock`` makes several steps one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._objects: dict[Collection, dict[Key, Object]] = {}
        self._history: deque[Event] = deque(maxlen=_HISTORY)
        self.revision = 1

    def get(self, collection: Collection, key: Key) -> Object | None:
        """An object, or None."""
        return self._objects.get(collection, {}).get(key)

    def list(self, collection: Collection, namespace: str = "") -> list[Object]:
        """The objects of a collection, of all namespaces where none is named, in the order of their keys."""
        with self.lock:
            found = sorted(self._objects.get(collection, {}).items())
        return [value for key, value in found if not namespace or key[0] == namespace]

    def everything(self) -> Iterator[tuple[Collection, Object]]:
        """Every object of every collection."""
        with self.lock:
            found = [(collection, value) for collection, table in self._objects.items() for value in table.values()]
        yield from found

    def put(self, collection: Collection, found: Object) -> Object:
        """Store an object under its name; gives it the next revision."""
        with self.lock:
            self.revision += 1
            found["metadata"]["resourceVersion"] = str(self.revision)
            key = key_of(found)
            table = self._objects.setdefault(collection, {})
            before = table.get(key)
            table[key] = found
            self._record("MODIFIED" if before else "ADDED", collection, found, before)
        return found

    def remove(self, collection: Collection, found: Object) -> None:
        """Forget an object."""
        with self.lock:
            before = self._objects.get(collection, {}).pop(key_of(found), None)
            if before is None:
                return
            self.revision += 1
            last = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.revision)}}
            self._record("DELETED", collection, last, before)

    def watch(self, collection: Collection, since: int, until: Callable[[], bool]) -> Iterator[Event | None]:
        """Changes of a collection after a revision, as they happen; None about every second without one.

        :param until: ends the watch once it is true.
        :raises ApiError: 410, where the history does not reach back that far.
        """
        with self.lock:
            if self._history and self._history[0].revision > since + 1 and len(self._history) == _HISTORY:
                raise ApiError(410, "Expired", f"too old resource version: {since} ({self.revision})")
        while not until():
            with self._changed:
                news = [event for event in self._history if event.revision > since and event.collection == collection]
                since = self.revision
                if not news:
                    self._changed.wait(_POLL_SECONDS)
            if news:
                yield from news
            else:
                yield None

    def _record(self, kind: str, collection: Collection, found: Object, before: Object | None) -> None:
        self._history.append(Event(self.revision, kind, collection, found, before))
        self._changed.notify_all()


def key_of(found: Object) -> Key:
    """Namespace and name of an object."""
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]
