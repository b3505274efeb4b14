"""Reads account files and explains every mistake in them at once."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.schema import Account
from config.section import Section, section_of

ACCOUNTS = Path(__file__).parent / "accounts"

S = TypeVar("S", bound=Section)


class ConfigError(ValueError):
    """A settings file cannot be used. The text has one line a mistake: file, key, value, fix."""


def account_names(folder: Path = ACCOUNTS) -> list[str]:
    """The accounts that have a file in ``folder``, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_account(name: str, folder: Path = ACCOUNTS) -> Account:
    """Read and check ``<folder>/<name>.toml``.

    :raises ConfigError: with every mistake of the file, one line each.
    """
    path = folder / f"{name}.toml"
    if not path.exists():
        there = ", ".join(account_names(folder)) or "none"
        raise ConfigError(f"{shown(path)}: no such account; there are: {there}")
    return load(path, Account)


def load(path: Path, model: type[S], *, context: Mapping[str, Any] | None = None) -> S:
    """Read and check one settings file.

    :param context: what the model's validators need to know besides. Default: nothing.
    :raises ConfigError: with every mistake of the file, one line each.
    """
    try:
        return model.model_validate(_tuples(tomllib.loads(path.read_text(encoding="utf-8"))), context=context)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown(path)}: not valid TOML: {error}") from None
    except ValidationError as error:
        mistakes = _mistakes(error.errors(), model)
        raise ConfigError("\n".join(f"{shown(path)}: {line}" for line in mistakes)) from None


def shown(path: Path) -> Path:
    """A path as a person in the project's folder would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def load_accounts(names: list[str] | None = None, folder: Path = ACCOUNTS) -> dict[str, Account]:
    """Load several accounts, by default all of them.

    :raises ConfigError: with the mistakes of all files, not only of the first.
    """
    accounts: dict[str, Account] = {}
    mistakes: list[str] = []
    for name in names or account_names(folder):
        try:
            accounts[name] = load_account(name, folder)
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return accounts


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples: the models are strict and frozen."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _mistakes(problems: list[ErrorDetails], model: type[BaseModel]) -> list[str]:
    """One line a mistake. A list with a wrong entry is also 'too short' to pydantic; the entry says it all."""
    places = [problem["loc"] for problem in problems]
    return [
        _explain(problem, model)
        for problem in problems
        if problem["type"] != "too_short" or not any(_is_inside(place, problem["loc"]) for place in places)
    ]


def _is_inside(place: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _explain(problem: ErrorDetails, model: type[BaseModel]) -> str:
    place = ".".join(map(str, problem["loc"])) or "whole file"
    match problem["type"]:
        case "missing":
            return f"{place}: required; add it"
        case "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), _keys(problem["loc"][:-1], model), n=1)
            return f"{place}: unknown key; " + (f"did you mean {near[0]!r}?" if near else "remove it")
        case "value_error":
            return f"{place}: {problem['ctx']['error']}"
        case "string_pattern_mismatch":
            return f"{place}: must match {problem['ctx']['pattern']}, got {problem['input']!r}"
        case "too_short" | "too_long":
            bound, limit = ("at least", "min_length") if problem["type"] == "too_short" else ("at most", "max_length")
            return f"{place}: needs {bound} {problem['ctx'][limit]} entries, got {problem['ctx']['actual_length']}"
    message = problem["msg"].removeprefix("Input ").removesuffix(" instance")
    return f"{place}: {message[:1].lower()}{message[1:]}, got {problem['input']!r}"


def _keys(place: tuple[int | str, ...], root: type[BaseModel]) -> list[str]:
    """The keys that the table at ``place`` may have, in a file that ``root`` checks."""
    model: type[BaseModel] | None = root
    for part in place:  # a part that is no field names a table of the user's own, such as a cluster
        if model and part in model.model_fields:
            model, _ = section_of(model.model_fields[str(part)].annotation)
    return list(model.model_fields) if model else []
