"""Entry point of the CDK CLI: one platform for each account file, and the pipeline that delivers them."""

from stacks._wiring.accounts import checked_accounts
from stacks.app import chosen_accounts, platform_app
from stacks.stage import PlatformStage
from stacks.tools.delivery import add_delivery

with platform_app() as app:
    chosen = chosen_accounts(app)
    accounts = checked_accounts(chosen)
    stages = {name: PlatformStage(app, name, settings=settings) for name, settings in accounts.items()}
    if chosen is None:
        add_delivery(app, accounts=accounts, stages=stages)
