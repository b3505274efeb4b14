"""Packages that tests need and the project's environment does not have: see the table of programs."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETS = ROOT / ".cache" / "programs" / "pypi"


def package_set(*names: str) -> str:
    """A ``PYTHONPATH`` with package sets before this process's own; skips the test if one was not fetched."""
    absent = [name for name in names if not (SETS / name).is_dir()]
    if absent:
        commands = " ".join(f"pypi/{name}" for name in absent)
        pytest.skip(f"package sets are missing; run python -m kubernetes_rehearsal.programs {commands}")
    own = os.environ.get("PYTHONPATH", "")
    sources = [
        ROOT,
        ROOT / "distributions" / "pipeline-components" / "src",
        ROOT / "distributions" / "model-repository" / "src",
    ]
    return os.pathsep.join([*map(str, sources), *([own] if own else []), *(str(SETS / name) for name in names)])
