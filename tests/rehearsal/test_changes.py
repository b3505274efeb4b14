"""A rehearsal of several deployment options: each an update of the one before, the last destroyed."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from rehearsal import rehearsal as steps
from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError
from rehearsal.progress import Narrator
from rehearsal.run import Run

EMPTY: dict[str, Any] = {"resources": [], "stacks": [], "kept": [], "managed": {}, "kubernetes": []}
OPTIONS = ("vanilla", "rds-s3", "cognito")


class Scripted:
    """Replaces synthesis, the emulator and the CLI, and notes what they are asked for.

    :param left: what remains in the emulator at the end.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, Any]) -> None:
        self.done: list[str] = []
        self._folder = folder
        self._states = iter([EMPTY, EMPTY, left])
        monkeypatch.setattr(steps, "_synthesize", lambda app, run, stacks: self._assembly(app[-1]))
        monkeypatch.setattr(steps, "Synthesis", self._synthesis)
        monkeypatch.setattr(steps, "Cdk", lambda aws, run: self)
        monkeypatch.setattr(steps.report, "clusters", lambda state: "none")

    def rehearse(self) -> None:
        apps = [["app", option] for option in OPTIONS]
        steps._changes(apps, cast(EmbeddedAws, self), Run(self._folder), stacks=())

    def _assembly(self, option: str) -> Assembly:
        folder = self._folder / option
        folder.mkdir()
        (folder / "manifest.json").write_text('{"artifacts": {}}', encoding="utf-8")
        return Assembly(folder)

    @contextlib.contextmanager
    def _synthesis(self, app: Sequence[str], *, folder: Path, log: Path) -> Iterator["Scripted"]:
        self._following = app[-1]
        yield self

    def assembly(self, selected: Sequence[str] = ()) -> Assembly:
        return self._assembly(self._following)

    def state(self) -> dict[str, Any]:
        return next(self._states)

    def wait_until_healthy(self) -> None:
        self.done.append("healthy")

    def bootstrap(self, assembly: Assembly) -> None:
        self.done.append("bootstrap")

    def deploy(self, assembly: Assembly) -> Narrator:
        self.done.append(f"deploy {assembly.folder.name}")
        return Narrator("deploy")

    def destroy(self, assembly: Assembly, stacks: Sequence[str]) -> Narrator:
        self.done.append(f"destroy {assembly.folder.name}")
        return Narrator("destroy")


@pytest.mark.promise("deployment-options")
def test_options_are_deployed_in_order_over_one_another_and_the_last_is_destroyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = Scripted(tmp_path, monkeypatch, EMPTY)
    scripted.rehearse()
    deployed = [f"deploy {option}" for option in OPTIONS]
    assert scripted.done == ["healthy", "bootstrap", *deployed, "destroy cognito"]


def test_a_stack_that_a_later_option_does_not_have_fails_as_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = EMPTY | {"stacks": [["us-east-1", "local-EdgeCertificate", "CREATE_COMPLETE", 1]]}
    with pytest.raises(RehearsalError, match="1 thing left after everything was destroyed:\n.*local-EdgeCertificate"):
        Scripted(tmp_path, monkeypatch, left).rehearse()
