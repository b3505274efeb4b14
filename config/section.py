"""What every section of an account file shares."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Mistake(ValueError):
    """A refused value, with one text for each problem: what is wrong with which value, and what to do.

    The loader writes one line for each text, after file and key. Any other ``ValueError`` of a validator is a fault of
    the validator and keeps its traceback.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.texts = texts


class Section(BaseModel):
    """A table of the account file. Unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def key(description: str, *, unused_until: str = "", **constraints: Any) -> Any:
    """A documented key: the text appears in ``docs/configuration.md``; the constraints are pydantic's.

    :param unused_until: what will use the key. Until then, setting it prints a warning.
    """
    if not unused_until:
        return Field(description=description, **constraints)
    return Field(description=description, json_schema_extra={"without_effect_until": unused_until}, **constraints)


def variants_of(annotation: Any, discriminator: str = "") -> tuple[dict[str, type[BaseModel]], type | None]:
    """The models that a key's table may have, and whether there are several tables of that kind.

    - By tag for a discriminated union; otherwise one model, by the empty tag.
    - ``dict`` for tables by name, ``tuple`` for a list of tables, None for one table.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        tags = get_args(annotation.model_fields[discriminator].annotation) if discriminator else ("",)
        return dict.fromkeys(tags, annotation), None
    found: dict[str, type[BaseModel]] = {}
    origin, many = get_origin(annotation), None
    arguments = get_args(annotation)
    if origin is Annotated:
        discriminator = next((str(each.discriminator) for each in arguments[1:] if _discriminates(each)), discriminator)
        arguments = arguments[:1]
    for argument in arguments:
        variants, inner = variants_of(argument, discriminator)
        found |= variants
        many = many or inner
    return found, origin if found and origin in (dict, tuple) else many


def _discriminates(metadata: Any) -> bool:
    return bool(getattr(metadata, "discriminator", None))


def problems_of_alike(names: Iterable[str]) -> Iterator[str]:
    """Names that differ in hyphens alone, one line each: ids of stacks and outputs have no hyphens.

    ``team-1`` and ``team1`` are both ``Team1``, whereas ``a-team`` is ``ATeam`` and ``ateam`` is ``Ateam``.
    """
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault("".join(word.capitalize() for word in name.split("-")), name)
        if other != name:
            yield f"{name}: differs from {other} in hyphens alone; choose another name"


DnsName = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")]


def _account_id(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"\d{12}", value):
        raise Mistake(f'must be twelve digits in quotes, such as "012345678901", got {value!r}')
    return value


AccountId = Annotated[str, BeforeValidator(_account_id)]
InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9]+$")]
Region = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
