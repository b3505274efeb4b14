"""``python -m rehearsal.app ACCOUNT FOLDER``: one account's platform as a cloud assembly for the emulator's account.

With it comes the pipeline of ``config/delivery.toml``, as if it delivered this account alone.
"""

import sys
from pathlib import Path

from aws_cdk import App, RemovalPolicy

from config.delivery import DELIVERY, Wave, load_delivery
from config.loader import load_account
from config.schema import Account
from rehearsal.paths import EMULATED_ACCOUNT
from stacks.app import new_app
from stacks.pipeline import PipelineStack
from stacks.stage import PlatformStage
from stacks.tools import ToolsStage


def emulated(account: str) -> Account:
    """An account's settings with the emulator's number in place of the real one.

    Region, zones and removal policy stay, so that names, limits and what is kept are the account's own.
    """
    return load_account(account).model_copy(update={"account": EMULATED_ACCOUNT})


def synthesize(account: str, outdir: str) -> None:
    """Write the stage that ``app.py`` makes of the account, and its pipeline, into ``outdir``."""
    app = new_app(outdir=outdir)
    settings = emulated(account)
    _deliver(app, PlatformStage(app, account, settings=settings), account, settings)
    app.synth()


def _deliver(app: App, stage: PlatformStage, name: str, account: Account, file: Path = DELIVERY) -> None:
    """The emulator has one account, which is that of the tools, too. Mirrors are left out: their addresses are real."""
    if not file.exists():
        return
    removal_policy = RemovalPolicy.DESTROY if account.removal_policy == "destroy" else RemovalPolicy.RETAIN
    wave = Wave(name="Rehearsal", accounts=(name,), approval=True, bake_minutes=1)
    settings = load_delivery(file).model_copy(
        update={"account": account.account, "region": account.region, "waves": (wave,)}
    )
    tools = ToolsStage(app, settings=settings, removal_policy=removal_policy) if settings.packages else None
    stages = {name: stage}
    PipelineStack(app, "Pipeline", settings=settings, stages=stages, tools=tools, removal_policy=removal_policy)


if __name__ == "__main__":
    try:
        synthesize(*sys.argv[1:])
    except ValueError as refusal:
        sys.exit(str(refusal))
