"""Writes the reference of every key of an account file, from the models that check it.

``python -m config.reference`` prints the page; ``docs/configuration.md`` is its output.
"""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.schema import Account

HEAD = """\
# Configuration

One TOML file an account, `config/accounts/<name>.toml`; the name is the stage's: `cdk deploy "<name>/*"`. Unknown keys
are refused, and every mistake of a file is reported at once, one line each: file, key, value, fix. `make docs` writes
this page from the models in `config/`.
"""


def render() -> str:
    """The whole page."""
    return HEAD + "".join(_table(Account, ""))


def _table(model: type[BaseModel], path: str) -> list[str]:
    """A heading and a table for ``model``, then one for each section below it."""
    title = f"`[{path}]`" if path else "Top level"
    meaning = " ".join((model.__doc__ or "").split())
    lines = [f"\n## {title}\n\n{meaning}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"]
    below: list[str] = []
    for name, field in model.model_fields.items():
        section, many = section_of(field.annotation)
        if section:
            place = f"{path}.{name}".lstrip(".") + (".<name>" if many else "")
            below += _table(section, place)
            lines.append(f"| `{name}` | table `[{place}]` | {_default(field)} | {field.description} |\n")
        else:
            lines.append(
                f"| `{name}` | {_values(field.annotation, field)} | {_default(field)} | {field.description} |\n"
            )
    return lines + below


def section_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model inside an annotation, and whether it is one of several named tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    many = get_origin(annotation) in (dict, tuple)
    for argument in get_args(annotation):
        section, inner = section_of(argument)
        if section:
            return section, many or inner
    return None, False


def _values(annotation: Any, field: FieldInfo | None = None) -> str:
    """What a key may hold, in TOML's words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{_toml(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_values(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"list of {_plural(_values(arguments[0]))}"
    if origin is dict:
        return f"table of {_plural(_values(arguments[1]))}"
    return {str: "string", int: "integer", bool: "`true` or `false`", float: "number"}[annotation]


def _plural(value: str) -> str:
    head, of, rest = value.partition(" of ")
    return f"{head}s{of}{rest}"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "none"
    return "see the table" if isinstance(default, BaseModel | dict) else f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    print(render(), end="")
