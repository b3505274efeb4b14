"""Loads and runs a package: as the program of a child process, or as a module that is copied into an image.

It needs the standard library only. As a program, its one argument is a JSON object with the folder of the package and
its entry points. Each line of its input is a list of records, each line of its output the list of their predictions
with the seconds that they took, or an error with the number of the record.
"""

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class UnloadableError(Exception):
    """An entry point that cannot be loaded. The text begins with the entry point."""


def load_package(folder: Path, entry_points: Mapping[str, str]) -> Callable[[Any], Any]:
    """The function from a record to its prediction, which consists of the types of JSON.

    :param folder: of the package.
    :param entry_points: those of its metadata.
    :raises UnloadableError: if its code raises any exception.
    """
    place = entry_points["feature_extractor"]
    try:
        extract = _function(folder, place)
        place = entry_points["model"]
        predict = _function(folder, place)(str((folder / place).parent))
    except (Exception, SystemExit) as error:  # any exception of the package is reported to its author
        raise UnloadableError(f"{place}: {_one_line(error)}") from error
    return lambda record: _plain(predict(extract(record)))


def main(order: dict[str, Any]) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the output of the package is not the answer
    try:
        predict = load_package(Path(order["folder"]), order["entry_points"])
    except UnloadableError as error:
        _say(answers, {"error": str(error)})
        return
    _say(answers, {"loaded": True})
    for line in sys.stdin:
        _say(answers, _answer(predict, json.loads(line)))


def _answer(predict: Callable[[Any], Any], records: list[Any]) -> dict[str, Any]:
    started, found = time.perf_counter(), []
    for number, record in enumerate(records):
        try:
            found.append(predict(record))
        except (Exception, SystemExit) as error:
            return {"error": _one_line(error), "record": number}
    return {"predictions": found, "seconds": time.perf_counter() - started}


def _say(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


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


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
