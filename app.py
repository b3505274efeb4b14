"""Entry point of the CDK CLI: one platform for each account file."""

import sys

from config.loader import load_accounts
from stacks.app import new_app
from stacks.stage import PlatformStage

app = new_app()
only = app.node.try_get_context("accounts")
try:
    for name, settings in load_accounts(only.split(",") if only else None).items():
        PlatformStage(app, name, settings=settings)
except ValueError as refusal:  # of an account file or of a construct: place, value and fix, not a traceback
    sys.exit(str(refusal))
app.synth()
