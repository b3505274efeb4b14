"""The page on delivery names commands, settings and numbers that hold."""

import re
import shlex
import subprocess
from pathlib import Path

import boto3
import pytest

from config.delivery import Delivery, Wave

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
LINES = [line.strip() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
MAKE = sorted({*(line for line in LINES if line.startswith("make ")), *re.findall(r"`(make [a-z]+)`", PAGE)})


@pytest.mark.parametrize("command", MAKE)
def test_make_knows_each_command(command: str) -> None:
    result = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", [line for line in LINES if line.startswith("aws ")])
def test_aws_knows_each_command_and_its_options(command: str) -> None:
    """The AWS CLI derives commands and options from the service models that boto3 has, too."""
    _, service, operation, *rest = shlex.split(command)
    client = boto3.client(service, region_name="eu-west-1")
    name = client.meta.method_to_api_mapping[operation.replace("-", "_")]
    shape = client.meta.service_model.operation_model(name).input_shape
    given = {option.removeprefix("--").replace("-", "") for option in rest if option.startswith("--")}
    assert given <= {member.lower() for member in shape.members}
    assert {member.lower() for member in shape.required_members} <= given


def test_settings_that_the_page_names_exist() -> None:
    known = {*Delivery.model_fields, *Wave.model_fields}
    named = set(re.findall(r"`([a-z]+_[a-z_]+)(?: = [^`]+)?`", PAGE))
    assert named
    assert named <= known


def test_every_link_resolves() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target
