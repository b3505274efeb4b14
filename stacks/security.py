from aws_cdk import RemovalPolicy, Stack
from constructs import Construct

from mlplatform_constructs import EncryptionKeys


class SecurityStack(Stack):
    """The keys that every other stack encrypts with."""

    def __init__(self, scope: Construct, id: str, *, removal_policy: RemovalPolicy) -> None:
        super().__init__(scope, id)
        self.keys = EncryptionKeys(self, "Keys", removal_policy=removal_policy)
