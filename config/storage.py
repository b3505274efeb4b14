"""The ``[storage]`` section: buckets, file systems, registries."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from config.section import Section, key


class Lustre(Section):
    """The FSx for Lustre file system that training jobs read from, linked to the feature bucket."""

    capacity_gib: Annotated[int, Field(ge=1200)] = key(
        "Storage in GiB: 1200, or a multiple of 2400 (AWS offers no other size).", default=1200
    )
    throughput_mbps_per_tib: Literal[125, 250, 500, 1000] = key("MB/s for each TiB of storage.", default=125)

    @field_validator("capacity_gib")
    @classmethod
    def _legal_size(cls, capacity: int) -> int:
        if capacity != 1200 and capacity % 2400:
            below = capacity // 2400 * 2400
            raise ValueError(
                f"must be 1200 or a multiple of 2400, got {capacity}; use {below or 1200} or {below + 2400}"
            )
        return capacity


class Storage(Section):
    """Buckets, shared file systems and container registries."""

    restore_days: Annotated[int, Field(ge=1, le=3650)] = key(
        "Days for which a replaced or deleted object can be restored.", default=90
    )
    replica_region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = key(
        "Second region that holds a copy of features, models and predictions. Default: no copy.", default=None
    )
    lustre: Lustre | None = key(
        "A Lustre file system for training. Default: none; it costs while it exists.", default=None
    )
    repositories: tuple[Annotated[str, Field(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")], ...] = key(
        "Container registries to create, below the account's name for the platform.",
        default=("training", "serving", "notebooks"),
    )
