"""The ``[audit]`` section: who did what."""

from typing import Annotated

from pydantic import Field

from config.section import Section, key


class Audit(Section):
    """The audit trail of the account, in all regions."""

    file_days: Annotated[int, Field(ge=90, le=3653)] = key(
        "Days that the trail's files are kept in S3. Searchable logs are kept for logs.retention_days.", default=2557
    )
