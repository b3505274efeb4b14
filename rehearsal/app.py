"""``python -m rehearsal.app ACCOUNT [--kubeflow OPTION] FOLDER``: an account's platform for the emulator's account.

It includes the pipeline of ``config/delivery.toml``, as if it delivered only this account.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

from aws_cdk import App, RemovalPolicy

from aws_rehearsal.emulator.names import EMULATED_ACCOUNT
from config.delivery import DELIVERY, Wave, load_delivery
from config.kubeflow import Deployment
from config.loader import ConfigError
from config.schema import Account
from mlplatform_constructs import ConfigurationError
from rehearsal import origins
from rehearsal.settings import chosen
from stacks.app import new_app
from stacks.stage import PlatformStage
from stacks.tools.pipeline import PipelineStack
from stacks.tools.tools import ToolsStage


def emulated(account: str, kubeflow: Deployment | None = None) -> Account:
    """An account's settings with the emulator's account number.

    Region, zones and removal policy are unchanged, so that names, limits and retention are the account's.

    :param kubeflow: option for its Kubeflow. Default: that of the account file.
    """
    return chosen(account, kubeflow).model_copy(update={"account": EMULATED_ACCOUNT})


def synthesize(account: str, outdir: str, *, kubeflow: Deployment | None = None) -> None:
    """Write the account's stage, as in ``app.py``, and its pipeline to ``outdir``."""
    made = origins.record()
    app = new_app(outdir=outdir)
    settings = emulated(account, kubeflow)
    _deliver(app, PlatformStage(app, account, settings=settings), account, settings)
    app.synth()
    origins.save(made, Path(outdir))


def _deliver(app: App, stage: PlatformStage, name: str, account: Account, file: Path = DELIVERY) -> None:
    """The emulator's account is also the tools account. Mirrors are omitted, because their addresses are real."""
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
    parser = argparse.ArgumentParser(prog="python -m rehearsal.app", description=__doc__)
    parser.add_argument("account")
    parser.add_argument("--kubeflow", choices=get_args(Deployment))
    parser.add_argument("folder")
    options = parser.parse_args()
    try:
        synthesize(options.account, options.folder, kubeflow=options.kubeflow)
    except (ConfigError, ConfigurationError) as refusal:
        sys.exit(str(refusal))
