"""Training samples and logged predictions, as JSON lines.

A line of a training sample is an object of features, or has them under ``features``. A line of logged predictions is::

    {"id": "7", "time": 1767225600, "features": {"age": 41, "plan": "basic"}, "prediction": 1, "seconds": 0.012}

``time`` is in seconds since 1970. ``label``, the true outcome, may be in the line or in a file of labels with the lines
``{"id": "7", "label": 0}``, because outcomes are known later.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_quality.drift import Value
from model_quality.store import InputError, Store

Features = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One logged prediction.

    :param time: seconds since 1970.
    :param label: the true outcome. Default: not known yet.
    :param seconds: time of inference. Default: not measured.
    """

    id: str
    time: float
    features: Features
    prediction: Value
    label: Value = None
    seconds: float | None = None


def read_sample(store: Store) -> list[Features]:
    """The training sample.

    :raises InputError: for a line that is no JSON object, or for no line at all.
    """
    found = [line.get("features", line) for _, line in _lines(store)]
    if not found:
        raise InputError("the training sample has no lines; name a file or a prefix with JSON lines")
    return found


def read_predictions(store: Store, *, since: float = 0, labels: Store | None = None) -> list[Prediction]:
    """Logged predictions. A line that was written twice, which a retry does, counts once.

    :param since: earlier predictions are left out; seconds since 1970.
    :param labels: true outcomes by id. Default: only those in the lines themselves.
    :raises InputError: for a line without id, time, features or prediction.
    """
    known = {str(line["id"]): line["label"] for _, line in _lines(labels, "id", "label")} if labels else {}
    found: dict[str, Prediction] = {}
    for _, line in _lines(store, "id", "time", "features", "prediction"):
        if line["time"] >= since:
            id = str(line["id"])
            label = line.get("label", known.get(id))
            found[id] = Prediction(
                id=id,
                time=float(line["time"]),
                features=line["features"],
                prediction=line["prediction"],
                label=label,
                seconds=line.get("seconds"),
            )
    return list(found.values())


def _lines(store: Store, *needed: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in store.names():
        for number, text in enumerate(store.read(name).splitlines(), start=1):
            if text.strip():
                yield name, _line(f"{name}: line {number}", text, needed)


def _line(place: str, text: str, needed: Sequence[str]) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{place}: is not JSON: {error}; write one object a line") from None
    if not isinstance(found, dict):
        raise InputError(f"{place}: is not an object; write one object a line")
    if missing := [key for key in needed if key not in found]:
        raise InputError(f"{place}: lacks {', '.join(missing)}; a line has {', '.join(needed)}")
    return found
