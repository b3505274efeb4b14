"""The registries that account files name as ``image_registry``, and whom each serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from config.schema import Account

_ECR = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?(?:/(.+))?")

_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}


@dataclass(frozen=True)
class EcrRegistry:
    """A registry of ECR, or the part of one below a prefix.

    :param host: name of its server.
    :param account: twelve digits.
    :param prefix: what the names of its repositories begin with, or nothing.
    """

    host: str
    account: str
    region: str
    prefix: str

    @classmethod
    def parse(cls, address: str) -> Self | None:
        """Read an address such as ``012345678901.dkr.ecr.eu-west-1.amazonaws.com/mirror``; None if it is not of ECR."""
        found = _ECR.fullmatch(address)
        return cls(address.partition("/")[0], found[1], found[2], found[3] or "") if found else None

    @property
    def partition(self) -> str:
        """Which part of AWS its region is in, as ARNs name it."""
        return next((name for start, name in _PARTITIONS.items() if self.region.startswith(start)), "aws")

    def repository(self, path: str) -> str:
        """Name of the repository for a path below the registry."""
        return f"{self.prefix}/{path}" if self.prefix else path


def image_registries(accounts: Mapping[str, Account]) -> dict[str, tuple[str, ...]]:
    """Each registry that account files name, with the ids of the accounts that take their images from it."""
    readers: dict[str, set[str]] = {}
    for settings in accounts.values():
        if settings.image_registry:
            readers.setdefault(settings.image_registry, set()).add(settings.account)
    return {registry: tuple(sorted(ids)) for registry, ids in sorted(readers.items())}
