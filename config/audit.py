"""The ``[audit]`` section: the audit trail."""

from typing import Annotated, Literal

from pydantic import Field

from config.section import Section, key


class Audit(Section):
    """The audit trail of the account, in all regions."""

    recorded_buckets: tuple[Literal["features", "models"], ...] = key(
        "Buckets whose objects' reads and writes the trail records, each with its principal. CloudTrail bills every "
        "100,000 of them, and a training job that reads many small files makes as many. S3's own access logs, which "
        "are free but for their storage, record the same requests later and without a guarantee.",
        default=("features", "models"),
    )
    file_days: Annotated[int, Field(ge=90, le=3653)] = key(
        "Days that the trail's files are kept in S3. Searchable logs are kept for logs.retention_days.", default=2557
    )
