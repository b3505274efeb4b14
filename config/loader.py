"""Reads account files, and reports all mistakes in them together."""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.mistakes import mistakes_of
from config.notices import RENAMED, rename_deprecated, warn, without_effect
from config.schema import Account
from config.section import Mistake, Section

ACCOUNTS = Path(__file__).parent / "accounts"

S = TypeVar("S", bound=Section)

_NAME = re.compile(r"[A-Za-z]([-A-Za-z0-9]{0,38}[A-Za-z0-9])?")
"""The name of an account file begins the names of its stacks, for which CloudFormation takes no other characters."""


Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the values of a settings file from those that the file has, as TOML reads them."""


def _unchanged(values: dict[str, Any]) -> dict[str, Any]:
    return values


class ConfigError(ValueError):
    """A settings file cannot be used. The text has one line a mistake: file, key, value, fix."""


def account_names(folder: Path = ACCOUNTS) -> list[str]:
    """The accounts that have a file in ``folder``, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_account(name: str, folder: Path = ACCOUNTS, *, change: Change = _unchanged) -> Account:
    """Read and check ``<folder>/<name>.toml``.

    :param change: applied to what the file says, before it is checked. Default: nothing changes.
    :raises ConfigError: with every mistake of the file, one line each.
    """
    path = folder / f"{name}.toml"
    if not path.exists():
        there = ", ".join(account_names(folder)) or "none"
        raise ConfigError(f"{shown(path)}: no such account; there are: {there}")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{shown(path)}: the name of an account file begins the names of its stacks: at most 40 letters, digits "
            f"and hyphens, a letter first, got {name!r}; rename the file"
        )
    account = load(path, Account, change=change)
    warn(shown(path), list(without_effect(account)))
    return account


def load(path: Path, model: type[S], *, context: Mapping[str, Any] | None = None, change: Change = _unchanged) -> S:
    """Read and check one settings file.

    :param change: as in :func:`load_account`.
    :param context: what the model's validators need to know besides. Default: nothing.
    :raises ConfigError: with every mistake of the file, one line each.
    """
    try:
        # With or without the byte order mark that some editors write.
        values, notices = rename_deprecated(tomllib.loads(path.read_text(encoding="utf-8-sig")), RENAMED)
        warn(shown(path), notices)
        return model.model_validate(_tuples(change(values)), context=context)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown(path)}: not valid TOML: {error}") from None
    except ValidationError as error:
        problems = error.errors()
        _raise_faults(problems)
        mistakes = mistakes_of(problems, model)
        raise ConfigError("\n".join(f"{shown(path)}: {line}" for line in mistakes)) from None


def _raise_faults(problems: list[ErrorDetails]) -> None:
    """Let errors pass that no validator raised on purpose: they are not about the file."""
    for problem in problems:
        fault = problem.get("ctx", {}).get("error")
        if isinstance(fault, Exception) and not isinstance(fault, Mistake):
            raise fault


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
