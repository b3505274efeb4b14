"""Arguments are checked against their annotations, and every refusal contains place, value and fix."""

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext as does_not_raise
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from mlplatform_constructs._arguments import ConfigurationError, check_arns, check_fields, checked


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Size:
    """A value that travels."""

    name: str
    zones: tuple[str, ...] = ()
    nodes: int = 1
    labels: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_fields(self)


class Thing(Construct):
    """Takes one argument of each kind."""

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        mode: Literal["fast", "very_slow"] = "fast",
        names: Sequence[str] = (),
        count: int = 1,
        ratio: float = 1,
        on: bool = True,
        vpc: ec2.IVpc | None = None,
        subnet: ec2.ISubnet | str = "",
        size: Size | None = None,
        colour: Colour = Colour.RED,
        weights: Mapping[str, int] | None = None,
        days: tuple[int, int] = (1, 2),
        policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN,
        anything: Any = None,
    ) -> None:
        super().__init__(scope, id)

    @checked
    def add(self, name: str, *, sizes: Sequence[Size] = ()) -> None:
        """Does nothing."""


@checked
def free(names: Sequence[str]) -> None:
    """Belongs to no construct."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "very-slow"}, "mode must be 'fast' or 'very_slow', got 'very-slow'; did you mean 'very_slow'?"),
        ({"mode": "blue"}, "mode must be 'fast' or 'very_slow', got 'blue'"),
        ({"mode": None}, "mode must be 'fast' or 'very_slow', got None; leave it out or set it"),
        ({"names": "abc"}, "names must be a list, got 'abc'; write ['abc']"),
        ({"names": ["a", 1]}, "names has an item that must be text, got 1"),
        ({"names": None}, "names must be a list, got None; leave it out or set it"),
        ({"names": 1}, "names must be a list, got 1"),
        ({"names": {"a": 1}}, "names must be a list, got {'a': 1}"),
        ({"names": [None]}, "names has an item that must be text, got None; leave it out or set it"),
        ({"count": "3"}, "count must be a whole number, got '3'"),
        ({"count": 1.5}, "count must be a whole number, got 1.5"),
        ({"count": True}, "count must be a whole number, got True"),
        ({"ratio": "0.5"}, "ratio must be a number, got '0.5'"),
        ({"on": "no"}, "on must be True or False, got 'no'"),
        ({"vpc": "vpc-1"}, "vpc must be an IVpc, got 'vpc-1'"),
        ({"subnet": 3}, "subnet must be an ISubnet or text, got 3"),
        ({"size": "large"}, "size must be a Size, got 'large'"),
        ({"colour": "RED"}, "colour must be a Colour, got 'RED'"),
        ({"policy": "retain"}, "policy must be a RemovalPolicy, got 'retain'"),
        ({"weights": ["a"]}, "weights must map names to values, got ['a']"),
        ({"weights": {"a": "1"}}, "weights has at 'a' a value that must be a whole number, got '1'"),
        ({"weights": {1: 1}}, "weights has a key that must be text, got 1"),
        ({"days": (1,)}, "days must be 2 values, got (1,)"),
        ({"days": (1, "2")}, "days has an item that must be a whole number, got '2'"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(stack: cdk.Stack, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(f'Test/Thing: {message}')}$"):
        Thing(stack, "Thing", **arguments)
    assert stack.node.try_find_child("Thing") is None


def test_valid_arguments_pass_including_tokens_and_cdk_objects(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)
    imported = ec2.Vpc.from_vpc_attributes(stack, "Imported", vpc_id="vpc-1", availability_zones=["eu-west-1a"])
    token = cdk.Token.as_string({"Ref": "X"})
    Thing(
        stack,
        "Thing",
        mode="very_slow",
        names=cdk.Token.as_list({"Ref": "X"}),
        count=cdk.Token.as_number({"Ref": "X"}),  # type: ignore[arg-type]
        ratio=1,
        vpc=imported,
        subnet=vpc.private_subnets[0],
        size=Size(token),
        weights={token: 1},
        days=(1, 2),
        anything=object(),
    ).add("x", sizes=(Size("a"),))
    Thing(stack, "Other", names=(name for name in "ab"), vpc=vpc)  # type: ignore[arg-type]
    assert stack.node.try_find_child("Thing")
    assert stack.node.try_find_child("Other")


def test_a_method_names_its_construct(stack: cdk.Stack) -> None:
    thing = Thing(stack, "Thing")
    with pytest.raises(ConfigurationError, match="^Test/Thing: sizes has an item that must be a Size, got 'a'$"):
        thing.add("x", sizes=["a"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="^Test/Thing: name must be text, got 1$"):
        thing.add(1)  # type: ignore[arg-type]


def test_a_function_names_itself() -> None:
    with pytest.raises(ConfigurationError, match="^free: names must be a list, got 'a'; write"):
        free("a")


def test_an_unknown_argument_is_left_to_python(stack: cdk.Stack) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nmaes'"):
        Thing(stack, "Thing", nmaes=[])  # type: ignore[call-arg]


def test_a_list_of_a_value_is_kept_as_a_tuple() -> None:
    zones = ["a", "b"]
    size = Size("x", zones=zones)  # type: ignore[arg-type]
    zones.append("c")
    assert size.zones == ("a", "b")
    assert hash(size)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "x", "zones": "abc"}, "Size: zones must be a list, got 'abc'; write ['abc']"),
        ({"name": "x", "nodes": "1"}, "Size: nodes must be a whole number, got '1'"),
        ({"name": None}, "Size: name must be text, got None; leave it out or set it"),
        ({"name": "x", "labels": {"a": 1}}, "Size: labels has at 'a' a value that must be text, got 1"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        Size(**fields)


@pytest.mark.parametrize("value", ["alice", "arn:aws:iam::111111111111:group/x", "arn:aws:s3:::bucket", "", "*"])
def test_what_is_no_arn_of_a_role_is_refused(value: str) -> None:
    with pytest.raises(
        ConfigurationError,
        match=f"^here: who must be an ARN such as .*:role/NAME, got {value!r}$".replace("*'", r"\*'"),
    ):
        check_arns("here", "who", [value], service="iam", resources=["role/"])


def test_arns_and_tokens_pass() -> None:
    good = ["arn:aws:iam::111111111111:role/a/b", "arn:aws-cn:iam::111111111111:role/x", cdk.Aws.ACCOUNT_ID]
    with does_not_raise():
        check_arns("here", "who", good, service="iam", resources=["role/"])


def test_refusals_are_value_errors() -> None:
    assert issubclass(ConfigurationError, ValueError)
