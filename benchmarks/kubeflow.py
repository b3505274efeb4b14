"""``python -m benchmarks.kubeflow``: the cost of synthesizing an account with Kubeflow and every optional stack."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import ROOT, Case, side_by_side

RUNS = int(os.environ.get("RUNS", "5"))
QUICK = {"CDK_VALIDATION": "false"}
ACCOUNT = {"CDK_CONTEXT_JSON": '{"accounts": "local"}'}
TARGET, TARGET_OF_TEMPLATES = 8.5, 1.6


def main() -> None:
    with tempfile.TemporaryDirectory() as assembly:
        environment = {**os.environ, **QUICK, **ACCOUNT, "CDK_OUTDIR": assembly}
        subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True)
        floor = Case("floor: an app with one bucket", [sys.executable, "benchmarks/floor_app.py"], QUICK)
        whole = Case("an account with Kubeflow", [sys.executable, "app.py"], QUICK | ACCOUNT)
        bare = Case("its resources, from templates", [sys.executable, "-m", "benchmarks.bare_app", assembly], QUICK)
        side_by_side([floor, whole, bare], RUNS)
        templates = sum(1 for _ in Path(assembly).rglob("*.template.json"))
    print(f"Medians of {RUNS} runs, CPU seconds of Python and Node; {templates} templates.\n")
    print("| what | CPU s | ratio to the floor | target |\n|---|---|---|---|")
    for case, target in ((floor, ""), (whole, str(TARGET)), (bare, "")):
        print(f"| {case.name} | {case.seconds:.2f} | {case.seconds / floor.seconds:.2f} | {target} |")
    print(
        f"\n{whole.seconds / bare.seconds:.2f} times the same resources from templates; target {TARGET_OF_TEMPLATES}."
    )


if __name__ == "__main__":
    main()
