"""The progress of a step on the console: a line for each changed stack, and periodic status in between."""

import re
import sys
import time
from dataclasses import dataclass, field
from typing import Literal, TextIO

Step = Literal[
    "synth",
    "clusters",
    "bootstrap",
    "deploy",
    "again",
    "proofs",
    "exercise",
    "update",
    "rollback",
    "diff",
    "unprotect",
    "destroy",
    "leftovers",
]
"""Steps of a rehearsal, in order."""

_EVENT = re.compile(
    r"^(?P<stack>\S+) \| +(?P<done>\d+)(?:/(?P<total>\d+))? \| [^|]+ \| (?P<status>[A-Z_]+) +\| (?P<type>\S+) +\|"
    r" (?P<what>.*)$"
)
_DONE = re.compile(r"^ ?✅ +(?:Environment )?(?P<id>\S+?):?(?P<rest> .*|)$")
_BEGUN = re.compile(r"^(?P<id>\S+) \(\S+\): (?:deploying|destroying)\.\.\.")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_NOISE = re.compile(
    r"^( ?✅|✨|\S+: (start|success|creating|deploying|destroying|Building|Publishing)"
    r"|\S+ \(\S+\): (deploying|destroying)|Stack ARN:|arn:aws:cloudformation:|Outputs:|\S+ = "
    r"| ⏳|Trusted accounts|Using default)"
)
_SILENCE_SECONDS = 10.0
_WORDS = 40


@dataclass
class Narrator:
    """Reports the progress of one step, from the output of the CDK CLI.

    :param step: name of the step, printed first on every line.
    """

    step: Step
    out: TextIO = field(default_factory=lambda: sys.stdout)
    seconds: dict[str, float] = field(default_factory=dict)
    """Duration in seconds of each finished stack, by stack id."""

    def __post_init__(self) -> None:
        self._started = self._last_line = time.monotonic()
        self._begun: dict[str, float] = {}
        self._words: list[str] = []
        self._failures: dict[str, str] = {}
        self._status_width = 0

    def hear(self, raw: str) -> None:
        """Process one line of the CLI's output."""
        line = _ANSI.sub("", raw.rstrip())
        if event := _EVENT.match(line):
            if event["status"].endswith("_FAILED"):
                self._failures[event["type"]] = f"{event['type']} {event['what']}"
            self._live(event)
        elif begun := _BEGUN.match(line):
            self._begun[begun["id"]] = time.monotonic()
        elif done := _DONE.match(line):
            self._finish(done["id"], done["rest"])
        elif line and not _NOISE.match(line):
            self._words.append(line)

    def say(self, text: str, seconds: float | None = None) -> None:
        """Print a line of the step."""
        took = "" if seconds is None else f"{seconds:8.1f} s"
        self._clear()
        print(f"{self.step:<10}{text:<60}{took}".rstrip(), file=self.out, flush=True)
        self._last_line = time.monotonic()

    def words(self) -> str:
        """The CLI's output without progress lines; after a failure, the reason.

        If the CLI prints a summary, only the summary and the failures that it omits.
        """
        start = next((n for n, line in enumerate(self._words) if line.lstrip().startswith(("❌", "‣"))), 0)
        summary = "\n".join(self._words[start:][-_WORDS:])
        return "\n".join([summary, *(what for kind, what in self._failures.items() if kind not in summary)]).strip()

    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def _finish(self, id: str, rest: str) -> None:
        self.seconds[id] = time.monotonic() - self._begun.get(id, self._started)
        if "no changes" not in rest:
            self.say(id, self.seconds[id])

    def _live(self, event: re.Match[str]) -> None:
        of = f"/{event['total']}" if event["total"] else ""
        status = f"{self.step:<10}{event['stack']} {event['done']}{of} {event['type']}"
        if self.out.isatty():
            self._clear()
            self.out.write(status[:110])
            self.out.flush()
            self._status_width = len(status[:110])
        elif time.monotonic() - self._last_line > _SILENCE_SECONDS:
            self.say(status.removeprefix(f"{self.step:<10}") + " ...")

    def _clear(self) -> None:
        if self._status_width:
            self.out.write("\r" + " " * self._status_width + "\r")
            self._status_width = 0
