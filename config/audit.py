"""The ``[audit]`` section: who did what, and who is told of what should never happen."""

from typing import Annotated

from pydantic import Field

from config.section import Section, key


class Audit(Section):
    """The audit trail of the account, in all regions."""

    file_days: Annotated[int, Field(ge=90, le=3653)] = key(
        "Days that the trail's files are kept in S3. Searchable logs are kept for logs.retention_days.", default=2557
    )
    alarm_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = key(
        "Address that is told when root is used, a key or the trail is changed, or an emergency role is taken. "
        "AWS asks it to confirm first. Default: nobody; subscribe to the topic in the outputs of the stack.",
        default=None,
    )
