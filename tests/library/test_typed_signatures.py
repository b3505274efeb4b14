"""What Pylance accepts: each parameter that takes an interface of the CDK takes its class, too."""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns

import mlplatform_constructs as library
from tests.library.typed_program import add_to

CLASSES: dict[object, object] = {
    ec2.ISubnet: ec2.Subnet,
    iam.IRole: iam.Role,
    kms.IKey: kms.Key,
    secretsmanager.ISecret: secretsmanager.Secret,
    sns.ITopic: sns.Topic,
}
"""The interfaces that pyright finds their class not to implement; the others of the library's signatures it accepts."""


def options(hint: Any) -> Iterator[tuple[Any, ...]]:
    """The alternatives that an annotation allows, also for items of its lists."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        yield typing.get_args(hint)
    else:
        yield (hint,)
    for part in typing.get_args(hint):
        yield from options(part) if typing.get_args(part) else ()


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in library.__all__:
        for member, value in vars(getattr(library, name)).items():
            function = inspect.unwrap(value.__func__ if isinstance(value, (classmethod, staticmethod)) else value)
            if inspect.isfunction(function) and (member == "__init__" or not member.startswith("_")):
                yield f"{name}.{member}", function


def test_a_parameter_that_takes_an_interface_takes_its_class_too() -> None:
    refused = [
        f"{place}({parameter}): {interface.__name__}"  # type: ignore[attr-defined]
        for place, function in public_callables()
        for parameter, hint in typing.get_type_hints(function).items()
        if parameter != "return"
        for allowed in options(hint)
        for interface, cls in CLASSES.items()
        if interface in allowed and cls not in allowed
    ]
    assert refused == []


def test_the_program_that_pyright_checks_synthesizes() -> None:
    app = cdk.App(context={"aws:cdk:disable-asset-staging": True})
    stack = cdk.Stack(app, "Test", env=cdk.Environment(account="111111111111", region="eu-west-1"))
    add_to(stack, iam.Role(stack, "Role", assumed_by=iam.AccountRootPrincipal()))
    assert app.synth().stacks[0].template["Resources"]
