"""Writes the reference of every key of an account file, from the models that check it.

``python -m config.reference`` prints the page; ``docs/configuration.md`` is its output.
"""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.delivery import Delivery
from config.schema import Account
from config.section import variants_of

HEAD = """\
# Configuration

Each account has a TOML file, `config/accounts/<name>.toml`, and a stage of the same name: `cdk deploy "<name>/*"`.
Unknown keys are refused, and all mistakes in a file are reported together, one line each: file, key, value, fix.
`make docs` generates this page from the models in `config/`.
"""

DELIVERY_HEAD = """
## Delivery

`config/delivery.toml` describes the pipeline, which [delivery.md](delivery.md) explains. Without the file, no pipeline
exists.
"""


_REPEATED: dict[type | None, str] = {None: "", dict: ".<name>", tuple: "[]"}


def render() -> str:
    """The whole page."""
    return HEAD + "".join(_table(Account, "")) + DELIVERY_HEAD + "".join(_table(Delivery, "", level="###"))


def _table(model: type[BaseModel], path: str, level: str = "##", kind: str = "") -> list[str]:
    """A heading and a table for ``model``, then one for each section below it."""
    title = f"`{_header(path)}`{kind}" if path else "Top level"
    meaning = " ".join((model.__doc__ or "").split())
    lines = [f"\n{level} {title}\n\n{meaning}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"]
    below: list[str] = []
    for name, field in model.model_fields.items():
        variants, many = variants_of(field.annotation)
        if variants:
            place = f"{path}.{name}".lstrip(".") + _REPEATED[many]
            for variant in dict.fromkeys(variants.values()):
                tags = [f"`{tag}`" for tag, each in variants.items() if each is variant and tag]
                below += _table(variant, place, level, f", {' or '.join(tags)}" if tags else "")
            lines.append(f"| `{name}` | table `{_header(place)}` | {_default(field)} | {_meaning(field)} |\n")
        else:
            lines.append(f"| `{name}` | {_values(field.annotation, field)} | {_default(field)} | {_meaning(field)} |\n")
    return lines + below


def _meaning(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    planned = extra.get("without_effect_until") if isinstance(extra, dict) else None
    if not planned:
        return str(field.description)
    return f"{field.description} The key has no effect until {planned} uses it."


def _header(place: str) -> str:
    """A table's header in TOML; that of a list's entries has two brackets."""
    return f"[[{place.removesuffix('[]')}]]" if place.endswith("[]") else f"[{place}]"


def _values(annotation: Any, field: FieldInfo | None = None) -> str:
    """The type of a key's value, in TOML's terms."""
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
