"""References between stacks that do not hold the stack that is referred to."""

from typing import cast

from aws_cdk import CfnOutput, CfnResource, Fn, ReferenceStrength, Stack
from constructs import Construct, IConstruct


def output_reference(owner: IConstruct, id: str, value: str) -> str:
    """A value of another stack, in any Region, that CloudFormation reads from that stack's outputs.

    The reader must depend on the other stack. The value may change, and even be removed, while it is in use; an export
    can do neither as long as another stack imports it.
    """
    stack = Stack.of(owner)
    output = owner.node.try_find_child(id) or CfnOutput(cast(Construct, owner), id, value=value)
    assert isinstance(output, CfnOutput)
    return Fn.get_stack_output(stack.stack_name, stack.get_logical_id(output), stack.region)


def refer_by_output(*scopes: IConstruct, exported: bool = True) -> None:
    """Make other stacks refer to the resources in ``scopes`` by output, for resources that a setting can remove.

    :param exported: whether the exports of earlier releases remain in the template, because stacks that were deployed
        by those releases import them until they are updated. CloudFormation can remove an export when no stack imports
        it.
    """
    strength = ReferenceStrength.BOTH if exported else ReferenceStrength.WEAK
    for scope in scopes:
        for found in scope.node.find_all():
            if isinstance(found, CfnResource):
                found.apply_cross_stack_reference_strength(strength)
