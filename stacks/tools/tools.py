from collections.abc import Sequence

from aws_cdk import Environment, RemovalPolicy, Stage
from constructs import Construct

from config.delivery import TOOLS, Delivery
from stacks.tools.mirror import MirrorRegistry, MirrorStack
from stacks.tools.packages import PackagesStack


class ToolsStage(Stage):
    """What accounts take from: registries of mirrored images, and the repository of Python packages.

    :param registries: the mirrors that account files name; each is made in the account of its address, and stays.
    :param removal_policy: removal policy of packages. Default: they are retained.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Delivery,
        registries: Sequence[MirrorRegistry] = (),
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        env = Environment(account=settings.account, region=settings.region)
        super().__init__(scope, TOOLS, env=env)
        self.mirrors = [
            MirrorStack(self, registry.stack_id, registry=registry, writer_account=settings.account).mirror
            for registry in registries
        ]
        self.packages = (
            PackagesStack(
                self,
                "Packages",
                env=env,
                domain_name=settings.packages.domain,
                reader_accounts=settings.packages.reader_accounts,
                removal_policy=removal_policy,
            )
            if settings.packages
            else None
        )
