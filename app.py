"""Entry point of the CDK CLI: one platform for each account file."""

import sys

from config.loader import ConfigError, load_accounts
from stacks.app import new_app
from stacks.stage import PlatformStage

app = new_app()
only = app.node.try_get_context("accounts")
try:
    accounts = load_accounts(only.split(",") if only else None)
except ConfigError as error:
    sys.exit(str(error))
for name, settings in accounts.items():
    PlatformStage(app, name, settings=settings)
app.synth()
