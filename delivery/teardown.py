"""Which stacks can be destroyed without losing what their templates keep, and without failing on it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from delivery.assembly import Stack
from delivery.gate.templates import Resource, Side, side

_KEEPING = frozenset({"Retain", "RetainExceptOnCreate"})
_NETWORK = frozenset({"AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::VPC"})
"""What AWS does not delete while an interface of something else lies in it.

https://docs.aws.amazon.com/vpc/latest/userguide/delete-vpc.html
"""


@dataclass(frozen=True)
class Plan:
    """What becomes of an account's stacks.

    :param goes: ids of the stacks that are destroyed, in the order of the manifest.
    :param stays: ids of the others, with the reason in a line.
    :param kept: resources of the stacks that are destroyed which stay in the account, no longer managed.
    :param holding: resources for which a stack stays; when they are gone, it can go.
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
    """Divide an account's stacks into those that go and those that stay.

    A stack stays where a resource that its template keeps lies in the network, because AWS would not delete what the
    resource stands in; so do the stacks that it needs. They stay managed, with their backups and alarms.

    :param templates: the ones that are deployed, by stack name; a stack without one is left out.
        Default: those of the assembly.
    :param gone: kept resources that somebody has deleted, as name of the stack and logical id.
    """
    stacks = tuple(stacks)
    deployed = side(stacks, templates)
    by_id = {stack.id: stack for stack in stacks if stack.name in deployed.templates}
    held = {name: list(_holding(deployed, name, gone)) for name in deployed.templates}
    stays = {
        id: f"{found[0].path} is kept, and lies in the network"
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
    """Kept resources that refer to a part of the network."""
    for resource in deployed.templates[stack].resources.values():
        if resource.deletion not in _KEEPING or resource.key in gone:
            continue
        targets = deployed.targets(stack, list(resource.properties.values()))
        if any(deployed.by_key[key].type in _NETWORK for key in targets):
            yield resource


def _needs(stack: Stack, deployed: Side, by_id: Mapping[str, Stack]) -> Iterator[str]:
    """Ids of the stacks that a stack depends on: by the assembly, and by what its deployed template refers to."""
    yield from (id for id in stack.dependencies if id in by_id)
    names = {one.name: id for id, one in by_id.items()}
    for resource in deployed.templates[stack.name].resources.values():
        for other, _ in deployed.targets(stack.name, list(resource.properties.values())):
            if other != stack.name:
                yield names[other]
