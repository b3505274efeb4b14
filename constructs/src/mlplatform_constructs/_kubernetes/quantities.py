"""Quantities of Kubernetes, such as ``500m`` and ``1.5Gi``."""

import re
from decimal import Decimal
from typing import Any

from .tokens import is_token

_MULTIPLES = {
    "": Decimal(1),
    **{unit: Decimal(10) ** (3 * power) for power, unit in enumerate(("n", "u", "m"), start=-3)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate(("K", "M", "G", "T", "P", "E"), start=1)},
}
_QUANTITY = re.compile(r"([+-]?[\d.]+)([KMGTPE]i|[numkMGTPE])?")


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity stands for; None where that is not known or it is none."""
    if isinstance(value, bool) or value is None or is_token(value):
        return None
    found = _QUANTITY.fullmatch(str(value))
    if not found:
        try:
            return Decimal(str(value))
        except ArithmeticError:
            return None
    return Decimal(found[1]) * _MULTIPLES[found[2] or ""]
