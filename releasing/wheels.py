"""``python -m releasing.wheels [folder]``: source archive and wheel of everything that others install."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from delivery.errors import DeliveryError

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = (
    "constructs",
    "distributions/batch-serving",
    "distributions/job-adviser",
    "distributions/model-repository",
    "distributions/notebook-client",
    "distributions/pipeline-components",
)
"""Folders of the released packages."""


def build(folder: Path, *, root: Path = ROOT, distributions: Sequence[str] = DISTRIBUTIONS) -> list[Path]:
    """Build every distribution into ``folder``, which holds nothing else afterwards.

    The build tools are those of this environment, every file has the one date that the build backend gives it, and
    sources are built from a copy without git, so that the same sources produce the same bytes in every commit.

    :param root: where the folders of the distributions are.
    :param distributions: which of them. Default: all.
    :raises DeliveryError: if a build fails; what it said is in the error.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    with tempfile.TemporaryDirectory() as copies:
        for distribution in distributions:
            copy = Path(copies) / distribution.replace("/", "-")
            shutil.copytree(root / distribution, copy, ignore=shutil.ignore_patterns("__pycache__"))
            command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(copy)]
            built = subprocess.run(command, env=environment, capture_output=True, text=True)
            if built.returncode:
                raise DeliveryError(f"{distribution}: cannot be built\n{built.stdout}{built.stderr}")
    return sorted(folder.iterdir())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m releasing.wheels", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="default: dist")
    try:
        built = build(parser.parse_args(arguments).folder)
    except DeliveryError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(map(str, built)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
