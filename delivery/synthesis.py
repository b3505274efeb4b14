"""One account's cloud assembly, as ``app.py`` makes it."""

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
    """A folder with the assembly of an account, which goes when the ``with`` block ends.

    :param assembly: one that is there already, and stays. Default: the sources are synthesized.
    :raises DeliveryError: with the words of ``app.py``, where it refuses.
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
