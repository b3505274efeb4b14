"""``make bench``: synthesis, the test suite and the rehearsal, as medians and ratios to the floor."""

import json
import os
import sys
from pathlib import Path

from benchmarks.timing import Case, side_by_side

RUNS = int(os.environ.get("RUNS", "5"))
QUICK = {"CDK_VALIDATION": "false"}


def synthesis(name: str, accounts: str, environment: dict[str, str]) -> Case:
    context = json.dumps({"accounts": accounts})
    return Case(name, [sys.executable, "app.py"], environment | {"CDK_CONTEXT_JSON": context})


def main() -> None:
    floor = Case("floor: an app with one bucket", [sys.executable, "benchmarks/floor_app.py"], QUICK)
    one = synthesis("one account", "staging", QUICK)
    two = synthesis("two accounts", "staging,dev", QUICK)
    validated = synthesis("one account, library's validation on", "staging", {"CDK_VALIDATION": "true"})
    side_by_side([floor, one, two, validated], RUNS)

    print(f"Medians of {RUNS} runs, CPU seconds of Python and Node; the ratio is to the floor of this run.\n")
    print("| what | CPU s | ratio | target |\n|---|---|---|---|")
    for case, target in ((floor, ""), (one, "2.0"), (validated, "")):
        print(f"| {case.name} | {case.seconds:.2f} | {case.seconds / floor.seconds:.2f} | {target} |")
    further = two.seconds - one.seconds
    print(f"| each further account | {further:.2f} | {further / floor.seconds:.2f} | 0.5 |")

    suite = Case("test suite", [sys.executable, "-m", "pytest", "-q", "-n", "auto"], QUICK)
    suite.run()
    share = suite.cpu[0] / one.seconds
    print(f"\nTest suite: {suite.wall[0]:.0f} s, {share:.1f} times the CPU of one account's synthesis.")
    steps = Path(".cache/rehearsal/last.json")
    if steps.exists():
        print("\nLast rehearsal, wall seconds:\n\n| step | s |\n|---|---|")
        for step, seconds in json.loads(steps.read_text(encoding="utf-8"))["steps"].items():
            print(f"| {step} | {seconds:.1f} |")
    else:
        print("\nNo rehearsal yet: run `make rehearse` first to see its steps here.")


if __name__ == "__main__":
    main()
