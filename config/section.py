"""What every section of an account file shares."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A table of the account file. Unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def key(description: str, **constraints: Any) -> Any:
    """A documented key: the text appears in ``docs/configuration.md``; the constraints are pydantic's."""
    return Field(description=description, **constraints)


DnsName = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")]
