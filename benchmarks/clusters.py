"""``python -m benchmarks.clusters``: what a further cluster of an account costs, with all its services."""

import json
import os
import subprocess
import sys

from benchmarks.timing import ROOT, Case, print_ratios

RUNS = int(os.environ.get("RUNS", "5"))
QUICK = {"CDK_VALIDATION": "false"}


def app(count: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.clusters_app", str(count)]


def calls() -> dict[str, int]:
    """How often constructing each stack of the second of two clusters crosses jsii."""
    said = subprocess.run(app(2), cwd=ROOT, env={**os.environ, **QUICK}, capture_output=True, text=True, check=True)
    counts: dict[str, list[int]] = json.loads(said.stdout)
    return {kind: each[-1] for kind, each in counts.items()}


def main() -> None:
    floor = Case("floor: an app with one bucket", [sys.executable, "benchmarks/floor_app.py"], QUICK)
    one = Case("an account with one cluster", app(1), QUICK)
    two = Case("an account with two clusters", app(2), QUICK)
    print_ratios([floor, one, two], RUNS)
    further = two.seconds - one.seconds
    print(f"| each further cluster, with its services | {further:.2f} | {further / floor.seconds:.2f} |")
    print(f"\nCalls across jsii: {', '.join(f'{kind} {count:,}' for kind, count in calls().items())}.")


if __name__ == "__main__":
    main()
