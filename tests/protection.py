"""Data protection for tests of single stacks."""

import aws_cdk as cdk

from mlplatform_constructs import EncryptionKeys
from stacks._wiring.data_protection import DataProtection


def protection(
    stack: cdk.Stack, *, removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN, log_days: int = 90
) -> DataProtection:
    """New keys in ``stack``, with a removal policy and a retention of logs."""
    return DataProtection(EncryptionKeys(stack, "Keys"), removal_policy, log_days)
