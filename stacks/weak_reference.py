from typing import cast

from aws_cdk import CfnOutput, Fn, Stack
from constructs import Construct, IConstruct


def weak_reference(owner: IConstruct, id: str, value: str) -> str:
    """A value of another stack, of whatever region, that is read from its outputs at deployment.

    The other stack must be deployed first, which the reader has to say. It may change, and even lose the value, without
    the reader; an export would hold on to it as long as anybody imports it.
    """
    stack = Stack.of(owner)
    output = owner.node.try_find_child(id) or CfnOutput(cast(Construct, owner), id, value=value)
    assert isinstance(output, CfnOutput)
    return Fn.get_stack_output(stack.stack_name, stack.get_logical_id(output), stack.region)
