"""The features of a record: the numbers that the model was trained on, in its order."""

import json
from pathlib import Path
from typing import Any

_NAMES = json.loads((Path(__file__).parent / "features.json").read_text(encoding="utf-8"))


def extract(record: dict[str, Any]) -> list[float]:
    """The numbers of one record.

    :raises KeyError: for a record without one of them.
    """
    return [float(record[name]) for name in _NAMES]
