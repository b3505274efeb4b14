"""What every section of an account file shares."""

import re
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A table of the account file. Unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def key(description: str, **constraints: Any) -> Any:
    """A documented key: the text appears in ``docs/configuration.md``; the constraints are pydantic's."""
    return Field(description=description, **constraints)


def section_of(annotation: Any) -> tuple[type[BaseModel] | None, type | None]:
    """The model inside an annotation; ``dict`` if it is one of several by name, ``tuple`` if it is one of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, None
    origin = get_origin(annotation)
    for argument in get_args(annotation):
        section, inner = section_of(argument)
        if section:
            return section, origin if origin in (dict, tuple) else inner
    return None, None


DnsName = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")]


def _account_id(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"\d{12}", value):
        raise ValueError(f'must be twelve digits in quotes, such as "012345678901", got {value!r}')
    return value


AccountId = Annotated[str, BeforeValidator(_account_id)]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
