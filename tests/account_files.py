"""Account files for tests: the minimum that an account needs, and loading a file with further sections."""

from pathlib import Path

import pytest

from config.loader import ConfigError, load_account
from config.schema import Account
from stacks.manifests import Synthesis

_HEAD = """
account = "111111111111"
region = "eu-west-1"
"""
_NETWORK = """
[network]
cidr = "10.0.0.0/16"
availability_zones = ["eu-west-1a", "eu-west-1b"]
"""
SMALL = _HEAD + _NETWORK
"""The required keys only."""
WITH_DOMAIN = SMALL + 'domain = "ml.example.com"\n'
DISPOSABLE = f'{_HEAD}production = false\nremoval_policy = "destroy"\n{_NETWORK}domain = "ml.example.com"\n'
"""An account whose data may be deleted, with a domain."""


def load(folder: Path, text: str) -> Account:
    """The account of a file with this text."""
    (folder / "some.toml").write_text(text, encoding="utf-8")
    return load_account("some", folder)


def mistakes(folder: Path, text: str) -> list[str]:
    """The loader's messages about a file with this text, without the file name that each of them starts with."""
    with pytest.raises(ConfigError) as refusal:
        load(folder, text)
    file, lines = f"{folder / 'some.toml'}: ", str(refusal.value).split("\n")
    assert all(line.startswith(file) for line in lines)
    return [line.removeprefix(file) for line in lines]


def synthesized(folder: Path, text: str) -> Synthesis:
    """The templates of the account of a file with this text; their stacks are called ``some-...``."""
    return Synthesis.of(load(folder, text), "some", folder / "cdk.out")
