"""What differs between two versions."""

from dataclasses import dataclass
from typing import Any

from model_repository.schema import Document

ABSENT = object()
"""Stands for a value that one of the versions does not have."""


@dataclass(frozen=True)
class Difference:
    """One place in which two versions differ.

    :param place: such as ``metrics.auc`` or ``files.model/model.json``.
    :param before: in the first version, or ``ABSENT``.
    :param after: in the second, or ``ABSENT``.
    """

    place: str
    before: Any
    after: Any

    @property
    def change(self) -> float | None:
        """How much a number grew; None for anything else."""
        pair = (self.before, self.after)
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in pair):
            return float(self.after - self.before)
        return None

    def __str__(self) -> str:
        change = "" if self.change is None else f" ({self.change:+.6g})"
        return f"{self.place}: {_text(self.before)} -> {_text(self.after)}{change}"


def compare(first: Document, second: Document) -> list[Difference]:
    """The differences between two published versions: metrics, parameters, other metadata, then files."""
    before, after = _places(first), _places(second)
    order = sorted(before | after, key=lambda place: (_RANK.get(place.partition(".")[0], len(_RANK)), place))
    pairs = [(place, before.get(place, ABSENT), after.get(place, ABSENT)) for place in order]
    return [Difference(place, was, now) for place, was, now in pairs if was is ABSENT or now is ABSENT or was != now]


_RANK = {"metrics": 0, "parameters": 1, "training": 2, "files": 9}


def _places(document: Document) -> dict[str, Any]:
    """The comparable values of a document by place."""
    places: dict[str, Any] = {}
    for section, value in document["metadata"].items():
        if isinstance(value, dict):
            places |= {f"{section}.{name}": inner for name, inner in value.items()}
        else:
            places[section] = value
    for file in document["package"]["files"]:
        places[f"files.{file['path']}"] = f"{file['size']} bytes, SHA-256 {file['sha256'][:12]}"
    return places


def _text(value: Any) -> str:
    return "absent" if value is ABSENT else str(value)
