from collections.abc import Mapping
from pathlib import Path

from aws_cdk import App, Stage

from config.delivery import DELIVERY, REHEARSAL, load_delivery
from config.schema import Account
from stacks.mirror import registries_of
from stacks.pipeline import PipelineStack
from stacks.tools import ToolsStage


def add_delivery(
    app: App, *, accounts: Mapping[str, Account], stages: Mapping[str, Stage], file: Path = DELIVERY
) -> PipelineStack | None:
    """Add the pipeline that carries ``stages`` to their accounts, and what the tools account holds besides.

    :param accounts: settings of all accounts by name; those that name a registry say which mirrors there are.
    :param stages: the stages that ``app.py`` made of them, by the same names.
    :param file: describes the pipeline. Without it there is none.
    """
    if not file.exists():
        return None
    settings = load_delivery(file)
    registries = registries_of({name: account for name, account in accounts.items() if name != REHEARSAL})
    tools = ToolsStage(app, settings=settings, registries=registries) if registries or settings.packages else None
    return PipelineStack(app, "Pipeline", settings=settings, stages=stages, tools=tools)
