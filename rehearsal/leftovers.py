"""What remains after everything was destroyed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aws_rehearsal.emulator.names import BOOTSTRAP_STACK

_FUNCTION_LOGS = ("cloudwatch_logs._log_groups", "/aws/lambda/")

State = dict[str, Any]
"""The state of the emulator."""


@dataclass(frozen=True)
class Leftovers:
    """Everything that remains at the end of a rehearsal, sorted.

    :param lost: stacks, resources and Kubernetes objects that should have been deleted.
    :param missing: stacks that should have been kept.
    :param kept: resources that the templates retain.
    :param made_by_lambda: log groups that Lambda creates for functions whose template has none, as on AWS.
    """

    lost: tuple[str, ...]
    kept: tuple[str, ...]
    made_by_lambda: tuple[str, ...]
    missing: tuple[str, ...] = ()


def find(before: State, after: State, stays: frozenset[str] = frozenset()) -> Leftovers:
    """Compare the state before the first stack with the state after the last.

    :param before: the bootstrapped, otherwise empty account.
    :param stays: names of stacks to keep, with everything in them. Default: none.
    """
    kept_ids = {physical_id for _, _, physical_id in after["kept"]}
    kept_ids |= {id for stack in stays for id in after["managed"].get(stack, [])}
    new = {tuple(r) for r in after["resources"]} - {tuple(r) for r in before["resources"]}
    unexpected = {r for r in new if not any(_belongs(r[2], id) for id in kept_ids)}
    function_logs = {r for r in unexpected if r[0] == _FUNCTION_LOGS[0] and r[2].startswith(_FUNCTION_LOGS[1])}
    stacks = [
        f"stack {name} in {region}: {status}"
        for region, name, status, _ in after["stacks"]
        if name not in {BOOTSTRAP_STACK, *stays}
    ]
    return Leftovers(
        lost=(
            *stacks,
            *_named(unexpected - function_logs),
            *(f"object of cluster {found}" for found in after["kubernetes"]),
        ),
        kept=tuple(sorted({f"{kind} {physical_id} in {region}" for region, kind, physical_id in after["kept"]})),
        made_by_lambda=tuple(sorted(name for _, _, name in function_logs)),
        missing=tuple(sorted(stays - {name for _, name, _, _ in after["stacks"]})),
    )


def _belongs(key: str, physical_id: str) -> bool:
    """Whether a store's key belongs to the resource: by its id, or by the name at the end of both."""
    return physical_id in key or re.split("[/:]", key)[-1] == re.split("[/:]", physical_id)[-1]


def _named(resources: Iterable[tuple[str, ...]]) -> list[str]:
    return [
        f"{store.replace('._', ' ')} {key}{f' in {region}' if region else ''}"
        for store, region, key in sorted(resources)
    ]
