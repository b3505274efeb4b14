from aws_cdk import Environment, RemovalPolicy, Stage
from constructs import Construct

from config.schema import Account
from stacks.network import NetworkStack
from stacks.security import SecurityStack


class PlatformStage(Stage):
    """The whole platform of one account: makes the stacks in order and passes objects from one to the next."""

    def __init__(self, scope: Construct, id: str, *, settings: Account) -> None:
        super().__init__(scope, id, env=Environment(account=settings.account, region=settings.region))
        removal_policy = RemovalPolicy.DESTROY if settings.removal_policy == "destroy" else RemovalPolicy.RETAIN

        self.security = SecurityStack(self, "Security", removal_policy=removal_policy)
        self.network = NetworkStack(
            self,
            "Network",
            settings=settings.network,
            bastion=settings.bastion,
            logs=settings.logs,
            log_key=self.security.keys.logs,
            removal_policy=removal_policy,
        )
