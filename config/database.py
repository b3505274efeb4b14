"""The ``[database]`` section: the database of Kubeflow's services."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from config.section import Mistake, Section, key


class Database(Section):
    """The MySQL database of Kubeflow's services."""

    instance_type: Annotated[str, Field(pattern=r"^(m|r|t|x)\d[a-z0-9]*\.(medium|[a-z]*large|\d+xlarge)$")] = key(
        "RDS class without 'db.', medium or larger: smaller ones keep no performance data.", default="t4g.medium"
    )
    storage_gib: Annotated[int, Field(ge=20, le=65536)] = key(
        "Initial storage in GiB. It grows automatically and never shrinks.", default=50
    )
    max_storage_gib: Annotated[int, Field(ge=22, le=65536)] = key("What storage may grow to, in GiB.", default=500)
    max_connections: Annotated[int, Field(ge=20, le=16000)] = key(
        "Connections at one time; an alarm is raised at four fifths of it. Each takes memory of the instance.",
        default=300,
    )
    backup_days: Annotated[int, Field(ge=1, le=35)] = key("Days for which any moment can be restored.", default=14)
    highly_available: bool = key("A standby in a second zone, which takes over within minutes.", default=True)

    @field_validator("max_storage_gib")
    @classmethod
    def _storage_can_grow(cls, most: int, info: ValidationInfo) -> int:
        first = info.data.get("storage_gib")
        if first is not None and most * 10 < first * 11:
            raise Mistake(
                f"must be at least a tenth more than storage_gib, got {most} for {first}; "
                f"use {-(-first * 11 // 10)} or more"
            )
        return most
