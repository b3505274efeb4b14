"""The app that ``app.py``, the rehearsal and the tests start from, with the same feature flags for each."""

import contextlib
import gc
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from config.loader import ConfigError
from config.notices import ConfigWarning
from mlplatform_constructs import ConfigurationError

CDK_JSON = Path(__file__).parents[1] / "cdk.json"


def new_app(*, outdir: str | None = None) -> cdk.App:
    """An empty app with the feature flags of ``cdk.json``, whose synthesis fails on a policy violation.

    The CLI passes the flags itself; without them, ``python app.py`` and tests would synthesize different templates.
    """
    flags = json.loads(CDK_JSON.read_text(encoding="utf-8"))["context"]
    app = cdk.App(context=flags, outdir=outdir)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
    return app


@contextlib.contextmanager
def platform_app() -> Iterator[cdk.App]:
    """An app that is synthesized when the ``with`` block ends.

    A setting or an argument that is refused ends the process with its message alone: place, value, fix. Any other
    error keeps its traceback.
    """
    gc.disable()  # a run of seconds needs no collection, which would take a tenth of its time
    warnings.formatwarning = _one_line
    app = new_app()
    try:
        yield app
    except (ConfigError, ConfigurationError) as refusal:
        sys.exit(str(refusal))
    app.synth()


_format = warnings.formatwarning


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Print a warning about a settings file without a location in our code."""
    if issubclass(category, ConfigWarning):
        return f"warning: {message}\n"
    return _format(message, category, filename, lineno, line)


def chosen_accounts(app: cdk.App) -> list[str] | None:
    """The accounts of ``-c accounts=dev,prod``; None without it, which means all accounts and their pipeline."""
    names = app.node.try_get_context("accounts")
    return names.split(",") if names else None
