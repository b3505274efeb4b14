import aws_cdk as cdk
import pytest
from aws_cdk import aws_s3 as s3


def test_a_policy_violation_fails_synthesis(app: cdk.App, stack: cdk.Stack) -> None:
    s3.Bucket(stack, "Open")
    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
        app.synth()
