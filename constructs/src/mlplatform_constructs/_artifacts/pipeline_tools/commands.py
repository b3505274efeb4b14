"""Runs programs, and exits with one line on failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any


class Stop(Exception):
    """The artifact cannot be released. The text is one line: what, and what to do."""


class Failed(Exception):
    """A program ended with an error, which is the text."""


def run(*command: str, given: str | None = None) -> str:
    """The output of a program.

    :param given: its standard input. Default: empty.
    :raises Failed: if it fails.
    """
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command[:3])}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def show(*command: str) -> None:
    """Run a program whose output is for people.

    :raises Stop: if it fails.
    """
    status = subprocess.run(command, check=False).returncode
    if status:
        raise Stop(f"{' '.join(command[:2])}: status {status}; see above")


def aws(*arguments: str) -> Any:
    """What the AWS CLI answers."""
    return json.loads(run("aws", *arguments, "--output", "json") or "null")


def setting(name: str) -> str:
    """An environment variable that the pipeline sets."""
    return os.environ[name]


def main(action: Callable[[], None]) -> None:
    """Run a step of the pipeline."""
    try:
        action()
    except (Stop, Failed) as problem:
        sys.exit(str(problem))
