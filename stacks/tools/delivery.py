from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import App, Stage

from config.delivery import DELIVERY, REHEARSAL, load_delivery
from config.schema import Account

if TYPE_CHECKING:
    from stacks.tools.pipeline import PipelineStack


def add_delivery(
    app: App, *, accounts: Mapping[str, Account], stages: Mapping[str, Stage], file: Path = DELIVERY
) -> PipelineStack | None:
    """Add the pipeline that deploys ``stages`` to their accounts, and the other stacks of the tools account.

    :param accounts: settings of all accounts by name; their registries determine the mirrors.
    :param stages: their stages, by the same names.
    :param file: description of the pipeline. Without it, no pipeline is added.
    """
    if not file.exists():
        return None
    # Imported here, so that one account alone does not wait for what delivers all of them.
    from stacks.tools.mirror import registries_of
    from stacks.tools.pipeline import PipelineStack
    from stacks.tools.tools import ToolsStage

    settings = load_delivery(file)
    registries = registries_of({name: account for name, account in accounts.items() if name != REHEARSAL})
    tools = ToolsStage(app, settings=settings, registries=registries) if registries or settings.packages else None
    return PipelineStack(app, "Pipeline", settings=settings, stages=stages, tools=tools)
