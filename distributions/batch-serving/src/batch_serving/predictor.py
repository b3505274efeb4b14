"""The model of a run, in a process of its own."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from batch_serving.errors import BatchError
from model_repository import PackageEndedError, PackageFailedError, PackageProcess, Repository, RepositoryError


class Predictor(Protocol):
    """A loaded model."""

    def __call__(self, records: Sequence[Any]) -> list[Any]:
        """The prediction of each record.

        :raises UnpredictableRecord: for the first record without one.
        """
        ...


class UnpredictableRecord(Exception):
    """A record that the model refuses.

    :param number: of the record, from 0.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@contextmanager
def repository_predictor(repository: Repository, model: str, version: int) -> Iterator[Predictor]:
    """A version of the model repository, loaded in a child process without the credentials of this one.

    :raises BatchError: if the version cannot be read or loaded.
    """
    name = f"{model} {version}"
    with tempfile.TemporaryDirectory(prefix="batch-serving-") as scratch:
        folder = Path(scratch) / "package"
        try:
            document = repository.fetch(model, version, to=folder)
        except RepositoryError as error:
            raise BatchError(str(error)) from None
        try:
            with PackageProcess(folder, document["metadata"]["entry_points"]) as process:
                yield partial(_predict, process)
        except PackageFailedError as error:
            raise BatchError(f"{name}: {error}; install what the model needs") from None
        except PackageEndedError as error:
            raise BatchError(f"{name}: the process of the model {error}; give it more memory") from None


def _predict(process: PackageProcess, records: Sequence[Any]) -> list[Any]:
    try:
        return process.predict(records)
    except PackageFailedError as error:
        if error.record is None:
            raise
        raise UnpredictableRecord(error.record, str(error)) from None
