"""The ``[storage]`` section: buckets, file systems, registries."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.section import Mistake, Section, key

_ARN = r"^arn:aws[-a-z]*:"
_Days = Annotated[int, Field(ge=31, le=3650)]


class CollectedData(Section):
    """Raw and cleansed data. Another platform owns and writes it, this one only reads it."""

    bucket_arn: Annotated[str, Field(pattern=_ARN + r"s3:::[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]$")] | None = key(
        "The owner's bucket, whose policy allows this account to read. Default: a bucket in this account.",
        default=None,
    )
    key_arn: Annotated[str, Field(pattern=_ARN + r"kms:[-a-z0-9]+:\d{12}:key/[-a-z0-9]+$")] | None = key(
        "KMS key of the owner's bucket; its policy must allow decryption. Default: no KMS key.", default=None
    )
    writer_role_arns: tuple[Annotated[str, Field(pattern=_ARN + r"iam::\d{12}:role/.+$")], ...] = key(
        "Existing roles of the owner that write to the bucket in this account. Default: none.",
        default=(),
    )

    @field_validator("key_arn")
    @classmethod
    def _a_key_has_a_bucket(cls, key_arn: str | None, info: ValidationInfo) -> str | None:
        if key_arn and "bucket_arn" in info.data and info.data["bucket_arn"] is None:
            raise Mistake("needs bucket_arn; the bucket in this account has its own key")
        return key_arn

    @field_validator("writer_role_arns")
    @classmethod
    def _writers_write_here(cls, arns: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if arns and info.data.get("bucket_arn"):
            raise Mistake("must be empty with bucket_arn; the owner controls the writers of that bucket")
        return arns


class Lustre(Section):
    """The FSx for Lustre file system that training jobs read from, linked to the feature bucket."""

    capacity_gib: Annotated[int, Field(ge=1200)] = key(
        "Storage in GiB: 1200, or a multiple of 2400 (AWS offers no other size). It can only grow.", default=1200
    )
    throughput_mbps_per_tib: Literal[125, 250, 500, 1000] = key("MB/s for each TiB of storage.", default=125)
    availability_zone: str | None = key(
        "Zone of the file system, one of network.availability_zones: where the GPUs are, because traffic between "
        "zones is billed. Default: the first.",
        default=None,
    )

    @field_validator("capacity_gib")
    @classmethod
    def _legal_size(cls, capacity: int) -> int:
        if capacity != 1200 and capacity % 2400:
            below = capacity // 2400 * 2400
            raise Mistake(f"must be 1200 or a multiple of 2400, got {capacity}; use {below or 1200} or {below + 2400}")
        return capacity


class Storage(Section):
    """Buckets, shared file systems and container registries."""

    collected_data: CollectedData = key(
        "Data of another platform, which this one reads. Default: an empty bucket here.", default=CollectedData()
    )
    restore_days: Annotated[int, Field(ge=1, le=3650)] = key(
        "Days for which a replaced or deleted object can be restored.", default=90
    )
    prediction_days: _Days = key("Days after which sampled predictions are deleted.", default=365)
    metric_days: _Days = key("Days after which performance metrics of models are deleted.", default=1095)
    artifact_days: _Days | None = key(
        "Days after which the outputs of pipeline runs are deleted. Default: they are kept.", default=None
    )
    replica_region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = key(
        "Second region, to hold a copy of features, models, predictions and metrics. Bootstrap it like the first. "
        "Default: no copy.",
        default=None,
    )
    lustre: Lustre | None = key(
        "A Lustre file system for training. Default: none; it costs while it exists.", default=None
    )
    repositories: tuple[Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")], ...] = key(
        "Container repositories to create. AWS names them; their addresses are outputs of the stack.",
        default=("training", "serving", "notebooks"),
    )

    @field_validator("repositories")
    @classmethod
    def _repositories_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise Mistake(f"names a repository twice: {', '.join(names)}; name each once")
        return names
