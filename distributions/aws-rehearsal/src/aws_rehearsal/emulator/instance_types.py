"""The table of EC2 instance types that the rehearsal is given."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

INSTANCE_TYPES = "REHEARSAL_INSTANCE_TYPES"
"""Path of the table: ``instance_type``, ``vcpus``, ``memory_mib``, ``interfaces``, ``addresses_per_interface``,
``architecture``, ``accelerator``, and the number of ``accelerators``."""
_UNKNOWN_VCPUS, _UNKNOWN_MEMORY_MIB = 4, 16384


@dataclass(frozen=True)
class InstanceType:
    """One row.

    :param accelerator: maker and model, such as ``nvidia-a10g``; empty for a type without.
    """

    name: str
    vcpus: int = _UNKNOWN_VCPUS
    memory_mib: int = _UNKNOWN_MEMORY_MIB
    interfaces: int = 4
    addresses_per_interface: int = 15
    architecture: str = "x86_64"
    accelerator: str = ""
    accelerators: int = 0

    @property
    def price(self) -> float:
        """A price an hour, in USD, that grows with size and accelerators; not that of AWS."""
        return round(self.vcpus * 0.03 + self.memory_mib / 1024 * 0.004 + self.accelerators * 0.6, 4)


def known_types() -> Mapping[str, InstanceType]:
    """Every row of the table by its name; empty where there is no table."""
    return _table(os.environ.get(INSTANCE_TYPES, ""))


def instance_type(name: str) -> InstanceType:
    """A type of the table, or one of four processors where the table lacks it."""
    return known_types().get(name) or InstanceType(name)


@cache
def _table(path: str) -> Mapping[str, InstanceType]:
    if not path:
        return {}
    with Path(path).open(encoding="utf-8") as table:
        return {row["instance_type"]: _row(row) for row in csv.DictReader(table)}


def _row(row: Mapping[str, str]) -> InstanceType:
    return InstanceType(
        name=row["instance_type"],
        vcpus=int(row["vcpus"]),
        memory_mib=int(row["memory_mib"]),
        interfaces=int(row.get("interfaces") or 4),
        addresses_per_interface=int(row.get("addresses_per_interface") or 15),
        architecture=row.get("architecture") or "x86_64",
        accelerator=row["accelerator"],
        accelerators=int(row["accelerators"] or 0),
    )
