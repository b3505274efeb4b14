"""Runs commands side by side and reads what they cost."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass
class Case:
    """A command, and the CPU and wall seconds of each of its runs."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run once, with all output in a temporary folder. The CPU time of child processes is included.

        Bytecode is cached, as it is on every machine unless an environment variable forbids it.
        """
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "CDK_OUTDIR": folder, **self.environment}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            before, start = os.times(), time.perf_counter()
            result = subprocess.run(self.command, cwd=ROOT, env=environment, capture_output=True, text=True)
            after = os.times()
        if result.returncode:
            sys.exit(f"{self.name}: {' '.join(self.command)} failed:\n{result.stdout}{result.stderr}")
        self.wall.append(time.perf_counter() - start)
        self.cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)

    @property
    def seconds(self) -> float:
        """Median CPU seconds."""
        return statistics.median(self.cpu)


def side_by_side(cases: Sequence[Case], runs: int) -> None:
    """Run the cases in turns, so that what else the machine does falls on all alike. The first turn warms caches."""
    for turn in range(runs + 1):
        for case in cases:
            case.run()
            if not turn:
                case.cpu.clear()
                case.wall.clear()


def print_ratios(cases: Sequence[Case], runs: int) -> None:
    """Run the cases side by side and print what each costs, as a ratio to the first."""
    side_by_side(cases, runs)
    print(f"Medians of {runs} runs, CPU seconds of Python and Node; the ratio is to the floor of this run.\n")
    print("| what | CPU s | ratio |\n|---|---|---|")
    for case in cases:
        print(f"| {case.name} | {case.seconds:.2f} | {case.seconds / cases[0].seconds:.2f} |")
