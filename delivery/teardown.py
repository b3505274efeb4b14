"""Determines which stacks can be destroyed while all retained resources remain usable."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from delivery.assembly import Stack
from delivery.gate.templates import Resource, Side, side

_KEEPING = frozenset({"Retain", "RetainExceptOnCreate"})
_NETWORK = frozenset({"AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::VPC"})
"""Network resources that AWS does not delete while another resource has a network interface in them.

https://docs.aws.amazon.com/vpc/latest/userguide/delete-vpc.html
"""


@dataclass(frozen=True)
class Plan:
    """The plan to destroy an account's stacks.

    :param goes: ids of the stacks to destroy, in the order of the manifest.
    :param stays: ids of the other stacks, each with a one-line reason.
    :param kept: retained resources of destroyed stacks, which remain in the account without a stack.
    :param holding: resources that keep a stack from being destroyed until they are deleted.
    """

    goes: tuple[str, ...]
    stays: dict[str, str]
    kept: tuple[Resource, ...]
    holding: tuple[Resource, ...]


def plan(
    stacks: Iterable[Stack],
    *,
    templates: Mapping[str, Mapping[str, Any]] | None = None,
    gone: frozenset[tuple[str, str]] = frozenset(),
) -> Plan:
    """Divide an account's stacks into those to destroy and those to keep.

    A stack with a retained resource in the network stays, because AWS would not delete the subnets and security groups
    of that resource. The stacks that it depends on stay, too. They remain managed, with their backups and alarms.

    :param templates: the deployed templates, by stack name; a stack without a template is omitted.
        Default: those of the assembly.
    :param gone: retained resources that have been deleted, as stack name and logical id.
    """
    stacks = tuple(stacks)
    deployed = side(stacks, templates)
    by_id = {stack.id: stack for stack in stacks if stack.name in deployed.templates}
    held = {name: list(_holding(deployed, name, gone)) for name in deployed.templates}
    stays = {
        id: f"{found[0].path} is retained and is in the network"
        for id, stack in by_id.items()
        if (found := held[stack.name])
    }
    waiting = list(stays)
    while waiting:
        stack = by_id[waiting.pop()]
        for needed in _needs(stack, deployed, by_id):
            if needed not in stays:
                stays[needed] = f"needed by {stack.id}"
                waiting.append(needed)
    going = {stack.name for id, stack in by_id.items() if id not in stays}
    return Plan(
        goes=tuple(id for id in by_id if id not in stays),
        stays={id: stays[id] for id in by_id if id in stays},
        kept=tuple(one for one in deployed.resources() if one.stack in going and one.deletion in _KEEPING),
        holding=tuple(one for found in held.values() for one in found),
    )


def _holding(deployed: Side, stack: str, gone: frozenset[tuple[str, str]]) -> Iterator[Resource]:
    """Retained resources that refer to a network resource."""
    for resource in deployed.templates[stack].resources.values():
        if resource.deletion not in _KEEPING or resource.key in gone:
            continue
        targets = deployed.targets(stack, list(resource.properties.values()))
        if any(deployed.by_key[key].type in _NETWORK for key in targets):
            yield resource


def _needs(stack: Stack, deployed: Side, by_id: Mapping[str, Stack]) -> Iterator[str]:
    """Ids of the stacks that a stack depends on, from the assembly and from the imports of its deployed template."""
    yield from (id for id in stack.dependencies if id in by_id)
    names = {one.name: id for id, one in by_id.items()}
    for resource in deployed.templates[stack.name].resources.values():
        for other, _ in deployed.targets(stack.name, list(resource.properties.values())):
            if other != stack.name:
                yield names[other]
