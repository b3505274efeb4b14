"""``make bench``: synthesis, the test suite and the rehearsal, as medians and ratios to the floor."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import clusters, components, kubeflow, manifests, scale
from benchmarks.timing import Case, side_by_side

RUNS = int(os.environ.get("RUNS", "5"))
QUICK = {"CDK_VALIDATION": "false"}
SPINE = [sys.executable, "-m", "benchmarks.spine_app"]


def synthesis(name: str, accounts: str, environment: dict[str, str]) -> Case:
    context = json.dumps({"accounts": accounts})
    return Case(name, [sys.executable, "app.py"], environment | {"CDK_CONTEXT_JSON": context})


def synthesis_costs(assembly: Path) -> float:
    """Print what synthesis costs and return the CPU seconds of the whole platform of one account.

    :param assembly: empty folder, for the templates of keys, network and storage.
    """
    floor = Case("floor: an app with one bucket", [sys.executable, "benchmarks/floor_app.py"], QUICK)
    spine = Case("keys, network and storage of one account", [*SPINE, "staging"], QUICK)
    spines = Case("the same of two accounts", [*SPINE, "staging", "dev"], QUICK)
    bare = Case("their resources, from templates", [sys.executable, "-m", "benchmarks.bare_app", str(assembly)], QUICK)
    one = synthesis("whole platform of one account", "staging", QUICK)
    two = synthesis("the same of two accounts", "staging,dev", QUICK)
    validated = synthesis("one account, library's validation on", "staging", {"CDK_VALIDATION": "true"})
    subprocess.run([*SPINE, "staging"], env={**os.environ, **QUICK, "CDK_OUTDIR": str(assembly)}, check=True)
    side_by_side([floor, bare, spine, spines, one, two, validated], RUNS)

    print(f"Medians of {RUNS} runs, CPU seconds of Python and Node; the ratio is to the floor of this run.\n")
    print("| what | CPU s | ratio | target |\n|---|---|---|---|")
    for name, seconds, target in (
        (floor.name, floor.seconds, ""),
        (bare.name, bare.seconds, ""),
        (spine.name, spine.seconds, "2.0"),
        ("each further account of these", spines.seconds - spine.seconds, "0.5"),
        (one.name, one.seconds, ""),
        ("each further account of these", two.seconds - one.seconds, ""),
        (validated.name, validated.seconds, ""),
    ):
        print(f"| {name} | {seconds:.2f} | {seconds / floor.seconds:.2f} | {target} |")
    return one.seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as assembly:
        one = synthesis_costs(Path(assembly))
    for part in (kubeflow, clusters, manifests, scale, components):
        print()
        part.main()

    suite = Case("test suite", [sys.executable, "-m", "pytest", "-q", "-n", "auto"], QUICK)
    suite.run()
    share = suite.cpu[0] / one
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
