"""The concurrent Lambda executions of a deployment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from delivery.preflight.template import Template

_THROUGH_A_FRAMEWORK = "Custom::AWSCDK-EKS-"  # its function invokes the handler's function and waits for it
_Place = tuple[str, str]
_Waits = dict[_Place, set[_Place]]


def executions(templates: Iterable[Template]) -> int:
    """The maximum of concurrent executions for custom resources of these stacks, if all stacks deploy concurrently.

    A custom resource takes one execution, or two if the CDK's provider framework invokes the handler (kubectl, Helm).
    Two custom resources never run concurrently if one refers to the other, or is in a stack that depends on it.
    """
    templates = tuple(templates)
    waits = _waits(templates)
    kinds = {(template.stack, name): kind for template in templates for name, kind in _custom(template)}
    taken = [place for place, kind in kinds.items() for _ in range(2 if kind.startswith(_THROUGH_A_FRAMEWORK) else 1)]
    return _widest([{n for n, other in enumerate(taken) if other in waits[place]} for place in taken])


def _custom(template: Template) -> Iterator[tuple[str, str]]:
    """Name and type of each custom resource."""
    for name, resource in template.body.get("Resources", {}).items():
        if "ServiceToken" in resource.get("Properties", {}):
            yield name, resource["Type"]


def _waits(templates: Sequence[Template]) -> _Waits:
    """All direct and indirect dependencies of each custom resource."""
    custom = {template.stack: [name for name, _ in _custom(template)] for template in templates}
    stacks = _closed({template.stack: set(template.after) for template in templates})
    waits: _Waits = {}
    for template in templates:
        resources = template.body.get("Resources", {})
        inside = _closed({name: set(_named(resource)) for name, resource in resources.items()})
        earlier = {(stack, name) for stack in stacks[template.stack] for name in custom.get(stack, ())}
        for name in custom[template.stack]:
            waits[template.stack, name] = earlier | {(template.stack, other) for other in inside[name]}
    return waits


def _named(value: Any) -> Iterator[str]:
    """The resources that a resource refers to."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key in ("Ref", "DependsOn") and isinstance(part, str):
                yield part
            elif key == "DependsOn":
                yield from part
            elif key == "Fn::GetAtt":
                yield part[0] if isinstance(part, list) else part.partition(".")[0]
            else:
                yield from _named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _named(part)


def _closed(before: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The transitive closure: each name with all of its direct and indirect predecessors."""
    closed: dict[str, set[str]] = {}

    def all_before(name: str) -> set[str]:
        if name not in closed:
            near = before.get(name, set())
            closed[name] = near.union(*(all_before(one) for one in near))
        return closed[name]

    return {name: all_before(name) for name in before}


def _widest(before: Sequence[set[int]]) -> int:
    """Size of the largest antichain: the number of elements less that of a maximum matching (Dilworth's theorem)."""
    pairs: dict[int, int] = {}

    def pair(one: int, tried: set[int]) -> bool:
        for other in before[one] - tried:
            tried.add(other)
            if other not in pairs or pair(pairs[other], tried):
                pairs[other] = one
                return True
        return False

    return len(before) - sum(pair(one, set()) for one in range(len(before)))
