"""The library's public interface as facts, one for each thing that others may depend on.

=============================  ====================================================================
``DataBucket``                 the class, and what it extends
``DataBucket(restore_days)``   an argument: place if it has one, type, default if there is one
``DataBucket.grant_read()``    a method, and what it returns
``DataBucket.grant_read(x)``   an argument of a method
``DataBucket.key``             an attribute, a field or a constant
``DataBucket: Bucket``         a resource that outlives its stack, by its path below the construct:
                               another path is another logical id, and the data stay behind
=============================  ====================================================================
"""

import ast
import dataclasses
import inspect
import json
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import aws_cdk as cdk

import mlplatform_constructs as library

ROOT = Path(__file__).parents[2]
_KEPT = ("Retain", "RetainExceptOnCreate", "Snapshot")

Facts = dict[str, str]


def library_facts() -> Facts:
    """Everything of the library, with the kept resources of the README's examples."""
    facts: Facts = {}
    for name in library.__all__:
        facts |= class_facts(getattr(library, name))
    facts |= kept_facts(examples((ROOT / "constructs" / "README.md").read_text(encoding="utf-8")))
    return dict(sorted(facts.items()))


def examples(readme: str) -> dict[str, str]:
    """The code under each one-word heading, by heading."""
    return {
        heading: "\n".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
        for heading, section in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", readme, re.DOTALL | re.MULTILINE)
    }


def class_facts(subject: type) -> Facts:
    """Facts of one class: its own, and those of private classes that it extends."""
    name = subject.__name__
    facts = {name: f"extends {', '.join(base.__name__ for base in _public_bases(subject))}"}
    if not issubclass(subject, Enum):
        facts |= _arguments(name, _without_first(inspect.signature(subject.__init__)))
    for owner in reversed([each for each in subject.__mro__ if each is subject or _is_private(each)]):
        for member, value in vars(owner).items():
            if not member.startswith("_"):
                facts |= _member(f"{name}.{member}", value)
        facts |= {f"{name}.{attribute}": text for attribute, text in _assigned(owner)}
    if dataclasses.is_dataclass(subject):
        facts |= {
            f"{name}.{each.name}": _type(each.type) for each in dataclasses.fields(subject) if each.name[0] != "_"
        }
    return facts


def kept_facts(examples: Mapping[str, str]) -> Facts:
    """The resources that outlive their stack, of each library construct in the examples.

    :param examples: code by a unique name; each has the variables ``app`` and ``stack``.
    """
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    with tempfile.TemporaryDirectory() as folder:
        app = cdk.App(
            context=flags | {"aws:cdk:enable-path-metadata": True},
            outdir=folder,
            builtin_cloud_formation_validation=False,  # it refuses examples that make no resource
        )
        env = cdk.Environment(account="111111111111", region="eu-west-1")
        for name, example in examples.items():
            with redirect_stdout(None):  # some show what they made
                exec(example, {"app": app, "stack": cdk.Stack(app, name, env=env)})
        ours = {
            f"{each.node.path}/": type(each).__name__
            for each in app.node.find_all()
            if type(each).__name__ in library.__all__
        }
        resources = [
            resource
            for stack in app.synth().stacks
            for resource in stack.template.get("Resources", {}).values()
            if resource.get("DeletionPolicy") in _KEPT
        ]
    facts = {}
    for resource in resources:
        path = resource["Metadata"]["aws:cdk:path"].removesuffix("/Resource")
        for place in (path[: end + 1] for end, letter in enumerate(path) if letter == "/"):
            if place in ours:
                facts[f"{ours[place]}: {path.removeprefix(place)}"] = resource["Type"]
    return facts


def _member(place: str, value: Any) -> Facts:
    match value:
        case classmethod() | staticmethod():
            signature, kind = inspect.signature(value.__func__), "static"
            if isinstance(value, classmethod):
                signature, kind = _without_first(signature), "class"
            return {f"{place}()": f"{kind} {_type(signature.return_annotation)}", **_arguments(place, signature)}
        case property(fget=getter) if getter:
            return {place: _type(inspect.signature(getter).return_annotation)}
        case cached_property(func=getter):
            return {place: _type(inspect.signature(getter).return_annotation)}
        case Enum():
            return {place: repr(value.value)}
        case bool() | int() | str():
            return {place: f"{type(value).__name__} = {value!r}"}
    if inspect.isfunction(value):
        signature = _without_first(inspect.signature(value))
        return {f"{place}()": _type(signature.return_annotation), **_arguments(place, signature)}
    return {place: type(value).__name__}


def _without_first(signature: inspect.Signature) -> inspect.Signature:
    """Without ``self`` or ``cls``, which callers do not write."""
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _arguments(place: str, signature: inspect.Signature) -> Facts:
    return {
        f"{place}({name})": _argument(position, parameter)
        for position, (name, parameter) in enumerate(signature.parameters.items(), start=1)
    }


def _argument(position: int, parameter: inspect.Parameter) -> str:
    place = f"{position}. " if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else ""
    default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
    return f"{place}{_type(parameter.annotation)}{default}"


def _type(annotation: Any) -> str:
    """The display name of a type without module names, regardless of its notation in the source."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).replace("'", "").replace('"', "")


def _value(value: Any) -> str:
    return str(value) if isinstance(value, Enum) else re.sub(r"\b(?:\w+\.)+(?=\w+\()", "", repr(value))


def _assigned(owner: type) -> Iterator[tuple[str, str]]:
    """What methods assign to ``self``: attribute, and type where one is written down."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and (name := _own(node.target)):
            yield name, _type(ast.unparse(node.annotation))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if name := _own(part):
                        yield name, "attribute"


def _own(target: ast.expr) -> str | None:
    match target:
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if not name.startswith("_"):
            return name
    return None


def _public_bases(subject: type) -> list[type]:
    return [each for base in subject.__bases__ for each in (_public_bases(base) if _is_private(base) else [base])]


def _is_private(subject: type) -> bool:
    ours = subject.__module__.startswith(f"{library.__name__}.")
    return ours and subject.__name__ not in library.__all__
