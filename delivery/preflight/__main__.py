"""``python -m delivery.preflight ACCOUNT``: whether an account's quotas leave room for its platform.

Counts what the templates hold when every node group has grown to its most, and compares with the account's quotas and
what is in use there. Prints a table, then a line for each quota that is too small, and returns 1 if there is one.
Nothing is created or changed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from delivery.assembly import ASSEMBLY, Stack, stacks_of
from delivery.errors import DeliveryError
from delivery.gate.deployed import templates
from delivery.preflight.account import Room, Rooms, record, recorded, rooms_of
from delivery.preflight.needs import Needs, needs_of
from delivery.preflight.quotas import Quota
from delivery.preflight.template import Template
from delivery.sessions import Reader


def problem(region: str, quota: Quota, needed: int, there: int, room: Room | None) -> str:
    """Why a quota is too small, or nothing.

    :param there: what is deployed of the same stacks already, which counts as in use.
    """
    place = f"{region}: {quota.name}"
    if room is None:
        return f"{place}: needs {needed:,}, and the record does not know {quota.id}; record it anew"
    if needed > room.limit:
        most = f"{' for one ' + quota.of_each if quota.of_each else ''}"
        return f"{place}: needs {needed:,}{most}, the quota is {room.limit:,.0f}; raise it: {quota.link(region)}"
    if room.used is not None and room.used + needed - there > room.limit:
        return (
            f"{place}: needs {needed - there:,} more beside {room.used:,.0f} in use, the quota is {room.limit:,.0f}; "
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


def _deployed(stacks: Sequence[Stack], reader: Reader) -> Needs:
    there = templates(stacks, reader)
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
    parser.add_argument("--record", type=Path, metavar="FILE", help="write down what the account answers")
    parser.add_argument(
        "--recorded", type=Path, metavar="FILE", help="compare with a record instead, for a first deployment"
    )
    options = parser.parse_args(arguments)
    try:
        stacks = stacks_of(options.account, options.assembly)
        needed, there = _needs(stacks), {}
        if options.recorded:
            rooms = recorded(options.recorded)
        else:
            reader = Reader()
            rooms, there = rooms_of(stacks, needed, reader), _deployed(stacks, reader)
        if options.record:
            record(rooms, options.record)
    except DeliveryError as error:
        print(f"preflight: {error}", file=sys.stderr)
        return 1
    table, problems = report(needed, there, rooms)
    print(table)
    print("\n".join(["", *problems]) if problems else f"\n{options.account}: every quota leaves room")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
