"""Formats changes on one line, without secrets."""

import re
from collections.abc import Sequence

from delivery.gate.changes import Difference
from delivery.gate.values import Value, text_of

_MOST = 60
_MOST_SHOWN = 3
_SECRET = re.compile(
    r"password|secretstring|privatekey|clientsecret|authtoken|access_?key$|(^|[._])token$", re.IGNORECASE
)
_HIDDEN = "(hidden)"


def shown(difference: Difference) -> str:
    """``Place: before -> after``; long texts are reduced to the part that differs, secrets are omitted."""
    place = ".".join(difference.place)
    if any(_SECRET.search(name) for name in difference.place):
        return f"{place}: {_HIDDEN}"
    before, after = _text(difference.before), _text(difference.after)
    return f"{place}: {_around(before, after)} -> {_around(after, before)}"


def words(differences: Sequence[Difference]) -> str:
    """The first of several changes, and the number of the others."""
    found = [shown(one) for one in differences[:_MOST_SHOWN]]
    more = len(differences) - len(found)
    return "; ".join([*found, f"and {more} more"] if more else found)


def _text(value: Value | None) -> str:
    return "(none)" if value is None else " ".join(text_of(_without_secrets(value)).split())


def _without_secrets(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _HIDDEN if _SECRET.search(key) else _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _around(text: str, other: str) -> str:
    """An excerpt of a long text around the first difference."""
    if len(text) <= _MOST:
        return text
    same = next((n for n, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), 0)
    start = max(0, same - _MOST // 4)
    end = start + _MOST
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
