"""How often an app crosses into Node: a count, which no other load on the machine changes."""

from collections.abc import Callable
from typing import Any

from jsii._kernel.providers.process import _NodeProcess


def count_calls() -> Callable[[], int]:
    """Count requests to Node from now on."""
    calls, send = [0], _NodeProcess.send

    def counting(self: _NodeProcess, *arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        return send(self, *arguments, **named)

    _NodeProcess.send = counting  # type: ignore[method-assign]
    return lambda: calls[0]
