"""``python -m benchmarks.manifests``: what checking, packing and rendering 1,000 Kubernetes objects costs."""

import os
import subprocess
import sys

from benchmarks.timing import ROOT, Case, print_ratios

RUNS = int(os.environ.get("RUNS", "5"))
QUICK = {"CDK_VALIDATION": "false"}
OBJECTS = 1_000


def app(count: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.manifests_app", str(count)]


def calls(count: int) -> int:
    """How often constructing this many objects crosses jsii."""
    said = subprocess.run(app(count), cwd=ROOT, env={**os.environ, **QUICK}, capture_output=True, text=True, check=True)
    return int(said.stdout)


def main() -> None:
    floor = Case("floor: an app with one bucket", [sys.executable, "benchmarks/floor_app.py"], QUICK)
    without = Case("a cluster without objects", app(0), QUICK)
    full = Case(f"the same with {OBJECTS:,} objects in 25 sets", app(OBJECTS), QUICK)
    print_ratios([floor, without, full], RUNS)
    added = full.seconds - without.seconds
    print(f"| {OBJECTS:,} objects add | {added:.2f} | {added / floor.seconds:.2f} |")
    print(f"\n{OBJECTS / added:.0f} objects a CPU second.")
    print(f"\n{calls(OBJECTS) / OBJECTS:.2f} calls across jsii an object.")


if __name__ == "__main__":
    main()
