"""Runs a package in a child process, so that the caller gets its predictions without running its code.

Loading a model can run code of its author, regardless of the format. The caller therefore never imports, unpickles or
evaluates anything of a package. A child process does so, without the environment of the caller (and hence without its
credentials), in an empty folder. This is not a sandbox: run only packages whose author you trust, or run them in a pod
without permissions.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

_WORKER = Path(__file__).with_name("package_worker.py")
_KEPT = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")  # what interpreters and GPU libraries need to start
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "OMP_")


class PackageFailedError(Exception):
    """Code of the package raised an exception.

    :param reason: in one line; begins with the entry point if the package could not be loaded.
    :param record: number of the record, from 0; None if the package could not be loaded.
    """

    def __init__(self, reason: str, record: int | None = None) -> None:
        super().__init__(reason)
        self.record = record


class PackageEndedError(Exception):
    """The process of the package ended before it answered.

    :param status: of the process; negative for the number of the signal that ended it.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"ended with status {status}")
        self.status = status


class PackageProcess:
    """A child process with the feature extractor and the model of a package, for the duration of a ``with`` block.

    - ``seconds_of_predictions``: total time of feature extraction and prediction so far, without the start.

    :param folder: of the package.
    :param entry_points: those of its metadata.
    :param seconds: after which the process is killed, with everything that it started. Default: no limit.
    :param output: file that gets what the package prints. Default: the error output of this process.
    :raises PackageFailedError: if the package cannot be loaded.
    :raises PackageEndedError: if the process ends before it has answered.
    :raises TimeoutError: if it has not answered in time.
    """

    def __init__(
        self,
        folder: Path,
        entry_points: Mapping[str, str],
        *,
        seconds: float | None = None,
        output: Path | None = None,
    ) -> None:
        self.seconds_of_predictions = 0.0
        self._order = json.dumps({"folder": str(folder.resolve()), "entry_points": dict(entry_points)})
        self._seconds, self._output = seconds, output
        self._is_late = threading.Event()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="package-"))
            with ExitStack() as opened:
                log = opened.enter_context(self._output.open("wb")) if self._output else None
                self._process = self._start(home, log)
            stack.callback(self._end)
            if self._seconds is not None:
                timer = threading.Timer(self._seconds, self._end_late)
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)
            if "error" in (answer := self._answer()):
                raise PackageFailedError(answer["error"])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def predict(self, records: Sequence[Any]) -> list[Any]:
        """The prediction of each record.

        :raises PackageFailedError: for the first record without one.
        :raises PackageEndedError: if the process ends.
        :raises TimeoutError: if it has not answered in time.
        """
        assert self._process.stdin
        with suppress(BrokenPipeError):  # the process has ended, and its answer is missing
            self._process.stdin.write(json.dumps(list(records)) + "\n")
            self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise PackageFailedError(answer["error"], answer["record"])
        self.seconds_of_predictions += answer["seconds"]
        predictions: list[Any] = answer["predictions"]
        return predictions

    def _start(self, home: str, log: Any) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
        return subprocess.Popen(
            [sys.executable, "-I", "-B", str(_WORKER), self._order],
            cwd=home,
            env={**kept, "HOME": home, "TMPDIR": home},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # so that child processes of the package end with it
        )

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            if self._is_late.is_set():
                raise TimeoutError
            raise PackageEndedError(status)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end_late(self) -> None:
        self._is_late.set()
        self._kill()

    def _end(self) -> None:
        self._kill()
        self._process.communicate()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
