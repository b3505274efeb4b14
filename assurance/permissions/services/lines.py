"""The lines of the table: what AWS services call on behalf of a resource, by its type."""

from collections.abc import Callable, Iterator

from assurance.permissions.needs import Need, Table, by_way_of
from assurance.permissions.world import World
from delivery.gate.templates import Resource

Line = Callable[[World, Resource, Table], Iterator[Need]]
_LINES: dict[str, list[tuple[Line, str]]] = {}


def on(type: str, source: str) -> Callable[[Line], Line]:
    """Add a line to the table.

    :param type: the resource type.
    :param source: the page that documents what the service requires.
    """

    def add(line: Line) -> Line:
        _LINES.setdefault(type, []).append((line, source))
        return line

    return add


def needs(world: World) -> Iterator[Need]:
    """The needs of AWS services, including the use of keys."""
    for resource in world.side.resources():
        for line, source in _LINES.get(resource.type, ()):
            place = world.place(resource)
            table = Table(world, world.path(resource), place.account, place.region, source)
            for need in line(world, resource, table):
                yield need
                yield from by_way_of(world, need)


def types() -> frozenset[str]:
    """The resource types of the table."""
    return frozenset(_LINES)
