"""The page of failures quotes messages that the platform prints, and commands and names that exist."""

import ast
import functools
import re
from pathlib import Path

import pytest

from charts.kubeflow.database_access.renewal import NAME

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTES = [line for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SOURCES = ("charts", "config", "constructs/src", "delivery", "stacks")


@functools.cache
def texts() -> list[str]:
    """Every text in the sources; of a text with values, the parts between these."""
    found: list[str] = []
    for source in SOURCES:
        for file in (ROOT / source).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found += [
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return found


def parts(quote: str) -> list[str]:
    """What stands between the values of a message."""
    return [part for part in quote.split("…") if re.search(r"\w", part)]


@pytest.mark.promise("known-failures-explained")
@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_message_is_one_of_the_platform(quote: str) -> None:
    assert parts(quote)
    missing = [part for part in parts(quote) if not any(part.strip() in text for text in texts())]
    assert missing == []


def test_a_message_that_nothing_prints_would_be_found() -> None:
    assert not any("is not in the picture list" in text for text in texts())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)", PAGE))))
def test_every_command_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", ["troubleshooting.md", "metadata-database.md"])
def test_services_are_restarted_for_a_password_by_the_schedule_of_the_platform(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert re.findall(r"--from=cronjob/([\w-]+)", text) == [NAME]


def test_every_failure_has_a_heading_and_a_way_out() -> None:
    entries = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert len(entries) > 25
    for entry in entries:
        title, _, body = entry.partition("\n")
        assert len(body.split()) > 12, title
