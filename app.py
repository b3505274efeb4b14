"""Entry point of the CDK CLI: one platform for each account file, and the pipeline that delivers them."""

import gc
import sys

gc.disable()  # a run of seconds frees nothing worth collecting, and looking for it takes a tenth of the time

from config.loader import load_accounts
from stacks.app import new_app
from stacks.stage import PlatformStage

app = new_app()
only = app.node.try_get_context("accounts")
try:
    accounts = load_accounts(only.split(",") if only else None)
    stages = {name: PlatformStage(app, name, settings=settings) for name, settings in accounts.items()}
    if not only:  # imported here, because one account alone should not wait for what delivers all
        from stacks.delivery import add_delivery

        add_delivery(app, accounts=accounts, stages=stages)
except ValueError as refusal:  # of a settings file or of a construct: place, value and fix, not a traceback
    sys.exit(str(refusal))
app.synth()
