"""The platform's accounts as IAM sees them, read once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assurance.permissions.world import World
from config.loader import load_account
from delivery.assembly import Stack, read_assembly
from stacks.app import new_app
from stacks.stage import PlatformStage
from tests.assemblies import ROOT, shared_assembly

Change = Callable[[str], str]
"""Changes the text of a template."""


@pytest.fixture(scope="session")
def stacks(assembly: Path) -> tuple[Stack, ...]:
    return read_assembly(assembly)


@pytest.fixture(scope="session")
def world(stacks: tuple[Stack, ...]) -> World:
    return World.of(stacks)


@pytest.fixture(scope="session")
def production(stacks: tuple[Stack, ...]) -> World:
    """The production account alone."""
    return World.of([stack for stack in stacks if stack.id.startswith("prod/")])


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, ...]:
    """The production account with a network that has no way out."""

    def synthesize(folder: Path) -> None:
        text = (ROOT / "config" / "accounts" / "prod.toml").read_text(encoding="utf-8")
        text = text.replace("interface_endpoints = true", 'interface_endpoints = true\nnat = "none"')
        accounts = tmp_path_factory.mktemp("accounts")
        registry = 'image_registry = "333333333333.dkr.ecr.eu-west-1.amazonaws.com/mirror"\n'
        (accounts / "prod.toml").write_text(registry + text, encoding="utf-8")
        app = new_app(outdir=str(folder))
        PlatformStage(app, "prod", settings=load_account("prod", accounts))
        app.synth()

    return read_assembly(shared_assembly("closed", synthesize))


@pytest.fixture
def changed(stacks: tuple[Stack, ...], tmp_path: Path) -> Callable[[str, Change], World]:
    """The account of a stack whose template is changed."""

    def change(name: str, edit: Change) -> World:
        (old,) = (stack for stack in stacks if stack.name == name)
        text = old.template_file.read_text(encoding="utf-8")
        file = tmp_path / "changed.template.json"
        file.write_text(edit(text), encoding="utf-8")
        assert file.read_text(encoding="utf-8") != text, "the change changed nothing"
        new = Stack(old.id, old.name, old.account, old.region, file, old.metadata_file)
        return World.of([new if stack is old else stack for stack in stacks if stack.account == old.account])

    return change
