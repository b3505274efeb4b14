"""Which properties a provisioner of the emulator looks at, and which it silently ignores."""

import copy
from collections import defaultdict
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from aws_rehearsal.emulator.schemas import Properties

ignored: dict[str, set[str]] = defaultdict(set)
"""Resource type to the top-level properties that nothing looked at when a resource was created."""


class Observed(dict[str, Any]):
    """Properties that record which of them were read. Iterating over all of them reads each."""

    def __init__(self, properties: Properties) -> None:
        super().__init__(properties)
        self.unread = set(properties)

    def __getitem__(self, name: str) -> Any:
        self.unread.discard(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.unread.discard(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.unread.discard(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self.unread.clear()
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override] # dict_keys, whose type cannot be named
        self.unread.clear()
        return super().keys()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        self.unread.clear()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        self.unread.clear()
        return super().values()

    def __deepcopy__(self, memo: dict[int, Any]) -> Properties:
        self.unread.clear()
        return {name: copy.deepcopy(super(Observed, self).__getitem__(name), memo) for name in dict.keys(self)}
