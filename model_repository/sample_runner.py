"""Runs in the child process of a self-test, where it is started as a file: the standard library only.

Its one argument is a JSON object: where the package is, its entry points, the tolerance, and where to write the answer.
"""

import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(order: dict[str, Any]) -> dict[str, Any]:
    folder = Path(order["folder"])
    place = order["extract"]
    try:
        extract = _function(folder, order["extract"])
        place = order["load"]
        predict = _function(folder, order["load"])(str((folder / order["load"]).parent))
        lines = (folder / order["records"]).read_text(encoding="utf-8").splitlines()
        mismatches = []
        started = time.perf_counter()
        for number, line in enumerate(lines, start=1):
            sample = json.loads(line)
            place = f"{order['records']}:{number}"
            got = _plain(predict(extract(sample["record"])))
            if not _close(got, sample["prediction"], order["tolerance"]):
                mismatches.append({"line": number, "expected": sample["prediction"], "got": got})
        seconds = time.perf_counter() - started
    except (Exception, SystemExit) as error:  # whatever the package raises is its author's to read
        return {"error": f"{place}: {type(error).__name__}: {error}".replace("\n", " ")}
    return {"records": len(lines), "seconds": seconds, "mismatches": mismatches}


def _function(folder: Path, entry: str) -> Callable[..., Any]:
    """The function that an entry point names. Its file may import its neighbours."""
    path, _, name = entry.partition(":")
    file = folder / path
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(f"package_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = getattr(module, name)
    return found


def _plain(value: Any) -> Any:
    """A prediction as JSON has it; arrays and scalars of numpy and the like become lists and numbers."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return json.loads(json.dumps(value))


def _close(got: Any, expected: Any, tolerance: float) -> bool:
    """Equal, numbers up to ``tolerance``."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(_close(got[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(_close, got, expected, [tolerance] * len(got)))
    if _is_number(expected) and _is_number(got):
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(got == expected and isinstance(got, bool) == isinstance(expected, bool))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    text = json.dumps(main(order))
    Path(order["answer"]).write_text(text, encoding="utf-8")
