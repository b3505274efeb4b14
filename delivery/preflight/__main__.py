"""``python -m delivery.preflight ACCOUNT``: checks whether an account has room for its platform.

Counts the resources of the templates with every node group at its maximum size, and compares them with the account's
quotas and current usage. Looks for log groups that exist and that a stack would create. Prints a table and a line for
each quota that is too low and each such group, and exits with 1 if there is one. Nothing is created or changed.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delivery.assembly import ASSEMBLY, Stack, stacks_of
from delivery.errors import DeliveryError
from delivery.gate.deployed import templates
from delivery.preflight import existing
from delivery.preflight.account import Room, Rooms, record, recorded, rooms_of
from delivery.preflight.needs import Needs, needs_of
from delivery.preflight.quotas import Quota
from delivery.preflight.template import Template
from delivery.sessions import Reader


def problem(region: str, quota: Quota, needed: int, there: int, room: Room | None) -> str:
    """Why a quota is too low, or nothing.

    :param there: the amount that the deployed stacks already use; it is part of the current usage.
    """
    place = f"{region}: {quota.name}"
    if room is None:
        return f"{place}: needs {needed:,}, but the record has no {quota.id}; record the quotas again"
    if needed > room.limit:
        most = f"{' for one ' + quota.of_each if quota.of_each else ''}"
        return f"{place}: needs {needed:,}{most}, the quota is {room.limit:,.0f}; raise it: {quota.link(region)}"
    if room.used is not None and room.used + needed - there > room.limit:
        return (
            f"{place}: needs {needed - there:,} on top of {room.used:,.0f} in use, the quota is {room.limit:,.0f}; "
            f"raise it: {quota.link(region)}"
        )
    return ""


def report(needed: Needs, there: Needs, rooms: Rooms) -> tuple[str, list[str]]:
    """The table, and the problems."""
    head = ("region", "quota", "needed", "in use", "limit", "code")
    rows, problems = [head], []
    for (region, quota), amount in sorted(needed.items(), key=lambda one: (one[0][0], one[0][1].name)):
        room = rooms.get((region, quota.id))
        used = "" if room is None or room.used is None else f"{room.used:,.0f}"
        limit = "?" if room is None else f"{room.limit:,.0f}"
        rows.append((region, quota.name, f"{amount:,}", used, limit, quota.id))
        problems.append(problem(region, quota, amount, there.get((region, quota), 0), room))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if 2 <= n <= 4 else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines), [found for found in problems if found]


def _needs(stacks: Sequence[Stack]) -> Needs:
    return needs_of(Template(stack.id, stack.region, stack.template, stack.dependencies) for stack in stacks)


def _needs_of_deployed(stacks: Sequence[Stack], there: Mapping[str, Mapping[str, Any]]) -> Needs:
    return needs_of(
        Template(stack.id, stack.region, there[stack.name], stack.dependencies)
        for stack in stacks
        if stack.name in there
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m delivery.preflight", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("account", help="name of an account file")
    parser.add_argument("--assembly", type=Path, default=ASSEMBLY, help="folder of the templates; default: cdk.out")
    parser.add_argument("--record", type=Path, metavar="FILE", help="record the account's quotas in this file")
    parser.add_argument(
        "--recorded", type=Path, metavar="FILE", help="compare with a recorded file instead, for a first deployment"
    )
    options = parser.parse_args(arguments)
    try:
        stacks = stacks_of(options.account, options.assembly)
        needed, there = _needs(stacks), {}
        in_the_way: list[str] = []
        if options.recorded:
            rooms = recorded(options.recorded)
        else:
            reader = Reader()
            deployed = templates(stacks, reader)
            rooms, there = rooms_of(stacks, needed, reader), _needs_of_deployed(stacks, deployed)
            in_the_way = list(existing.problems(stacks, deployed, reader))
        if options.record:
            record(rooms, options.record)
    except DeliveryError as error:
        print(f"preflight: {error}", file=sys.stderr)
        return 1
    table, problems = report(needed, there, rooms)
    problems += in_the_way
    print(table)
    print("\n".join(["", *problems]) if problems else f"\n{options.account}: all quotas suffice")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
