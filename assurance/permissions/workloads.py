"""The calls of the platform's own functions, controllers, nodes, people and builds.

``data/workloads.toml`` has a line for each, with its source. A rehearsal records the calls of functions:
``data/rehearsed_calls.json``.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from assurance.permissions.bootstrap_roles import bootstrap_role
from assurance.permissions.conditions import like
from assurance.permissions.filler import Filler
from assurance.permissions.needs import Need, Table, by_way_of
from assurance.permissions.roles import Role
from assurance.permissions.world import World

FILE = Path(__file__).with_name("data") / "workloads.toml"


@dataclass(frozen=True)
class Line:
    """The calls of the roles of a construct path."""

    role: str
    source: str
    actions: str
    resources: tuple[str, ...] = ("*",)
    context: Mapping[str, str] = field(default_factory=dict)


@cache
def lines() -> tuple[Line, ...]:
    """The table."""
    found = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        Line(
            caller["role"],
            caller["source"],
            " ".join(call["actions"].split()),
            tuple(call.get("resources", ("*",))),
            call.get("context", {}),
        )
        for caller in found["caller"]
        for call in caller.get("call", ())
    )


def is_of(line: Line, path: str) -> bool:
    """Whether a line applies to the roles of a construct path."""
    return like(path, line.role)


def needs(world: World) -> Iterator[Need]:
    """The needs of workloads, including the use of keys."""
    for role in world.roles.values():
        for line in lines():
            if is_of(line, role.path):
                for need in _of(world, role, line):
                    yield need
                    yield from by_way_of(world, need)
        yield from _builds(world, role)


def _of(world: World, role: Role, line: Line) -> Iterator[Need]:
    table = Table(world, role.path, role.account, role.region, line.source)
    filler = Filler(world, role)
    resources = [one for each in line.resources for one in filler.resources(each)]
    context = {filler.text(key): filler.text(value) for key, value in line.context.items()}
    if resources:
        yield from table.use(role.arn, line.actions, *resources, context=context)


def _builds(world: World, role: Role) -> Iterator[Need]:
    """The needs of the pipeline's builds: the gate reads, and asset builds publish.

    https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html
    """
    source = "https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html"
    table = Table(world, role.path, role.account, role.region, source)
    reader = re.fullmatch(r"Pipeline/(\w+)Reader", role.path)
    places = {name: place for name, place in world.places.items() if world.stages[name]}
    if reader:
        mine = {place for name, place in places.items() if world.stages[name] == reader.group(1)}
        for place in mine:
            yield from table.use(role.arn, "sts:AssumeRole", bootstrap_role("lookup", place))
    if role.path.endswith("/Assets/FileRole"):
        for stage in dict.fromkeys(world.stages.values()):
            network = places.get(f"{stage}-Network")
            if network and world.delivers(stage):
                yield from table.use(role.arn, "sts:AssumeRole", bootstrap_role("file-publishing", network))
    if role.path.endswith("/SelfMutation/Role"):
        own = next(place for name, place in world.places.items() if name == "Pipeline")
        for kind in ("deploy", "file-publishing"):
            context = {"iam:ResourceTag/aws-cdk:bootstrap-role": kind}
            yield from table.use(role.arn, "sts:AssumeRole", bootstrap_role(kind, own), context=context)
        yield from table.use(role.arn, "cloudformation:DescribeStacks")
