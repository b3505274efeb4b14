import json
import re
import shlex
from pathlib import Path

import pytest

from model_repository import Package
from model_repository.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "model-repository.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m model_repository (.*)$", PAGE, re.MULTILINE)


def test_the_metadata_of_the_page_make_a_package(make_package: object, tmp_path: Path) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert callable(make_package)
    make_package(**json.loads(example))
    assert Package.read(tmp_path / "package").metadata == json.loads(example)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_are_understood(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Understood, and refused here for want of a package or an AWS: status 1, not 2."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "eu-west-1")
    assert main(shlex.split(command)) == 1
    assert capsys.readouterr().err


def test_the_page_shows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = set(re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert offered == {command.split()[0] for command in COMMANDS}
