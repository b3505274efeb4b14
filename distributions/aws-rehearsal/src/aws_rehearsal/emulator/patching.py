"""How an extension takes the place of a function of the emulator."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def wrap(module: ModuleType, name: str, extend: Callable[[Any], Any]) -> None:
    """Replace ``module.name`` by ``extend(original)``, also in modules of the emulator that imported it by name."""
    original = getattr(module, name)
    extended = extend(original)
    for other in [m for key, m in sys.modules.items() if key.split(".")[0] == "ministack"]:
        for attribute, value in list(vars(other).items()):
            if value is original:
                setattr(other, attribute, extended)
