"""How the outcome of a step is judged."""

from pathlib import Path
from typing import Any, cast

import pytest

from rehearsal import rehearsal as steps
from rehearsal.assembly import Assembly
from rehearsal.cdk import Cdk
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.progress import Narrator

DEPLOYED = {"stacks": [["eu-west-1", "dev-Network", "CREATE_COMPLETE", 12]]}
CHANGED = {"stacks": [["eu-west-1", "dev-Network", "UPDATE_COMPLETE", 18]]}
EMPTY: dict[str, Any] = {"resources": [], "stacks": [], "kept": [], "kubernetes": []}


class Scripted:
    """Answers in place of the emulator and of the CLI."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = iter(states)

    def state(self) -> dict[str, Any]:
        return next(self.states)

    def deploy(self, assembly: Assembly, *, step: str) -> Narrator:
        return Narrator(step)


def deploy_again(tmp_path: Path, *states: dict[str, Any]) -> None:
    (tmp_path / "manifest.json").write_text('{"artifacts": {}}')
    scripted = Scripted(*states)
    steps._deploy_again(cast(Cdk, scripted), cast(EmbeddedAws, scripted), Assembly(tmp_path))


def test_a_second_deployment_that_changes_nothing_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deploy_again(tmp_path, DEPLOYED, DEPLOYED)
    assert "unchanged" in capsys.readouterr().out


def test_a_second_deployment_that_changes_a_stack_fails_and_names_it(tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="^dev-Network: changed by a second deployment of the same sources"):
        deploy_again(tmp_path, DEPLOYED, CHANGED)


def test_what_is_left_fails_and_is_named() -> None:
    left = EMPTY | {"resources": [["ec2._volumes", "eu-west-1", "vol-1"]]}
    with pytest.raises(RehearsalError) as failure:
        steps._leave_nothing(EMPTY, left)
    assert str(failure.value) == "1 thing left after everything was destroyed:\n  ec2 volumes vol-1 in eu-west-1"


def test_what_is_kept_on_purpose_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    bucket = ["eu-west-1", "AWS::S3::Bucket", "models"]
    steps._leave_nothing(EMPTY, EMPTY | {"resources": [["s3._buckets", "", "models"]], "kept": [bucket]})
    assert "none among 1 resources, 1 kept on purpose" in capsys.readouterr().out
