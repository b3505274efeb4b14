"""The self-test of a package: its sample through its feature extractor and model, compared with what it promises.

Loading a model can run code of its author, whatever the format says. So this process never imports, unpickles or
evaluates anything of a package; a child process does, started without the environment of this one (hence without its
credentials), in an empty folder, with a time limit. That is hygiene, not a sandbox: run the self-test of packages whose
author you trust, or in a pod that may do nothing.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_repository.errors import RepositoryError
from model_repository.package import RECORDS, Package

DEFAULT_SECONDS = 300.0
DEFAULT_TOLERANCE = 1e-6

_RUNNER = Path(__file__).with_name("sample_runner.py")
_KEPT = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")  # what interpreters and GPU libraries need to start
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "OMP_")


@dataclass(frozen=True)
class SelfTest:
    """A self-test that passed.

    :param records: how many records the sample has.
    :param milliseconds_per_record: feature extraction and prediction on this machine, on average.
    """

    records: int
    milliseconds_per_record: float


def run_self_test(package: Package, *, seconds: float = DEFAULT_SECONDS) -> SelfTest:
    """Run the sample of ``package``; the environment must have the libraries that the model needs.

    :param seconds: after which the test has failed.
    :raises RepositoryError: with the first record that fails, and how.
    """
    answer = _run(package, seconds)
    where = package.folder
    if "error" in answer:
        raise RepositoryError(f"{where}/{answer['error']}; correct the package, or install what it needs")
    failed = answer["mismatches"]
    if failed:
        first = failed[0]
        raise RepositoryError(
            f"{where}/{RECORDS}:{first['line']}: predicted {json.dumps(first['got'])}, the sample promises "
            f"{json.dumps(first['expected'])} ({len(failed)} of {answer['records']} records differ); "
            "correct the model, the feature extractor or the sample"
        )
    return SelfTest(answer["records"], round(answer["seconds"] / answer["records"] * 1000, 3))


def _run(package: Package, seconds: float) -> dict[str, Any]:
    """The runner's answer."""
    points = package.metadata["entry_points"]
    with tempfile.TemporaryDirectory(prefix="self-test-") as scratch:
        answer = Path(scratch) / "answer.json"
        home = Path(scratch) / "home"
        home.mkdir()
        order = {
            "folder": str(package.folder.resolve()),
            "extract": points["feature_extractor"],
            "load": points["model"],
            "records": RECORDS,
            "tolerance": package.metadata.get("tolerance", DEFAULT_TOLERANCE),
            "answer": str(answer),
        }
        status, output = _start(json.dumps(order), home, seconds)
        if status is None:
            raise RepositoryError(f"{package.folder}: no answer in {seconds:g} s; use a smaller sample or more time")
        if not answer.exists():
            last = output.strip().splitlines()[-1:] or ["no output"]
            raise RepositoryError(
                f"{package.folder}: the self-test ended with status {status}: {last[0]}; see its model"
            )
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return result


def _start(order: str, home: Path, seconds: float) -> tuple[int | None, str]:
    """Status and output of the child; status None when the time was up."""
    kept = {n: v for n, v in os.environ.items() if n in _KEPT or n.startswith(_KEPT_PREFIXES)}
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", str(_RUNNER), order],
        cwd=home,
        env={**kept, "HOME": str(home), "TMPDIR": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that what the model starts goes with it
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, output.decode("utf-8", "replace")
