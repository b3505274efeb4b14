"""Synthesizes one account's cloud assembly with ``app.py``."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from delivery.errors import DeliveryError

_ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def synthesized(account: str, assembly: Path | None = None) -> Iterator[Path]:
    """A temporary folder with the assembly of an account, deleted when the ``with`` block ends.

    :param assembly: an existing assembly to use instead; it is not deleted. Default: synthesize the sources.
    :raises DeliveryError: with the message of ``app.py``, if it fails.
    """
    if assembly:
        yield assembly
        return
    with tempfile.TemporaryDirectory() as folder:
        context = json.dumps({"accounts": account})
        # The library's own validation takes seconds and is part of `make synth`.
        settings = {"CDK_OUTDIR": folder, "CDK_CONTEXT_JSON": context, "CDK_VALIDATION": "false"}
        app = subprocess.run(
            [sys.executable, "app.py"], cwd=_ROOT, env={**os.environ, **settings}, capture_output=True, text=True
        )
        if app.returncode:
            raise DeliveryError(app.stderr.strip())
        yield Path(folder)
