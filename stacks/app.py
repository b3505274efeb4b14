"""The app that both ``app.py`` and the tests start from, with the same feature flags on every road."""

import json
from pathlib import Path

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

CDK_JSON = Path(__file__).parents[1] / "cdk.json"


def new_app(*, outdir: str | None = None) -> cdk.App:
    """An empty app that carries the feature flags of ``cdk.json`` and fails synthesis on a policy violation.

    The CLI hands the flags over by itself; ``python app.py`` and tests would synthesize other templates without them.
    """
    flags = json.loads(CDK_JSON.read_text(encoding="utf-8"))["context"]
    app = cdk.App(context=flags, outdir=outdir)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
    return app
