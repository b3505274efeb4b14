"""The self-test of a package: runs its sample through its feature extractor and model, and compares the predictions."""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_repository.errors import RepositoryError
from model_repository.package import RECORDS, Package
from model_repository.package_process import PackageEndedError, PackageFailedError, PackageProcess

DEFAULT_SECONDS = 300.0
DEFAULT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class SelfTest:
    """A self-test that passed.

    :param records: how many records the sample has.
    :param milliseconds_per_record: feature extraction and prediction on this machine, on average.
    """

    records: int
    milliseconds_per_record: float


def run_self_test(package: Package, *, seconds: float = DEFAULT_SECONDS) -> SelfTest:
    """Run the sample of ``package`` in a process of its own; the environment must have the libraries of the model.

    :param seconds: after which the test has failed.
    :raises RepositoryError: with the first record that fails, and how.
    """
    lines = (package.folder / RECORDS).read_text(encoding="utf-8").splitlines()
    samples = [json.loads(line) for line in lines]
    predictions, taken = _predictions(package, [sample["record"] for sample in samples], seconds)
    tolerance = package.metadata.get("tolerance", DEFAULT_TOLERANCE)
    failed = [
        (number, sample["prediction"], got)
        for number, (sample, got) in enumerate(zip(samples, predictions, strict=True), start=1)
        if not _close(got, sample["prediction"], tolerance)
    ]
    if failed:
        number, expected, got = failed[0]
        raise RepositoryError(
            f"{package.folder}/{RECORDS}:{number}: predicted {json.dumps(got)}, the sample promises "
            f"{json.dumps(expected)} ({len(failed)} of {len(samples)} records differ); "
            "correct the model, the feature extractor or the sample"
        )
    return SelfTest(len(samples), round(taken / len(samples) * 1000, 3))


def _predictions(package: Package, records: list[Any], seconds: float) -> tuple[list[Any], float]:
    """The predictions, and the seconds that they took."""
    where = package.folder
    with tempfile.TemporaryDirectory(prefix="self-test-") as scratch:
        output = Path(scratch) / "output"
        try:
            with PackageProcess(where, package.metadata["entry_points"], seconds=seconds, output=output) as process:
                return process.predict(records), process.seconds_of_predictions
        except PackageFailedError as error:
            place = "" if error.record is None else f"{RECORDS}:{error.record + 1}: "
            raise RepositoryError(f"{where}/{place}{error}; correct the package, or install what it needs") from None
        except TimeoutError:
            raise RepositoryError(f"{where}: no answer in {seconds:g} s; use a smaller sample or more time") from None
        except PackageEndedError as error:
            last = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise RepositoryError(f"{where}: the self-test {error}: {last[0]}; see its model") from None


def _close(got: Any, expected: Any, tolerance: float) -> bool:
    """Equal, numbers up to ``tolerance``."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(_close(got[key], expected[key], tolerance) for key in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(_close, got, expected, [tolerance] * len(got)))
    if _is_number(expected) and _is_number(got):
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(got == expected and isinstance(got, bool) == isinstance(expected, bool))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
