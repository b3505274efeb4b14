"""The ``[alarms]`` section: who is told when something goes wrong."""

from typing import Annotated

from pydantic import Field

from config.section import Section, key


class Alarms(Section):
    """Alarms of every stack: the database, features, models, and what should never happen in the account."""

    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = key(
        "Address that is told. AWS asks it to confirm first. Default: nobody; subscribe to the topic in the outputs of "
        "the stack Security.",
        default=None,
    )
