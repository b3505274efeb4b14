"""Checks of arguments against their annotations, and the class of all refusals.

``@checked`` on a constructor or method refuses, before it runs, arguments that Python would accept and AWS or the
library would misinterpret: a string instead of a list, a number as a string, a value outside a ``Literal``, None. A
frozen dataclass calls ``check_fields(self)`` first in ``__post_init__``.

The construct itself checks what annotations cannot express, such as a range or the form of a name, and raises the class
below.
"""

import dataclasses
import difflib
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_ARN = re.compile(r"arn:[a-z0-9-]+:(?P<service>[a-z0-9-]+):[a-z0-9-]*:(?P<account>\d{12}|aws|):(?P<resource>\S+)")
_PLAIN = (str, bytes, int, float, list, tuple, dict, set, frozenset)
_LISTS = (Sequence, list)
_WORDS: dict[object, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    bytes: "bytes",
}


class ConfigurationError(ValueError):
    """An argument, an object or a combination that this library refuses.

    Its text names the place, the value and the fix, and is meant for the person who wrote the value: show it without
    the traceback. Any other exception is a mistake of this library or of the CDK.
    """


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a constructor or method of a construct: each call's arguments must match the annotations.

    :raises ConfigurationError: at the call, for the first argument that does not match.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python's own message says which argument is missing or unknown
        for name, value in given.items():
            variadic = signature.parameters[name].kind in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            )
            if not variadic and (problem := mismatch(value, _hints(function).get(name, Any))):
                raise ConfigurationError(f"{_place(given) or function.__qualname__}: {name} {problem}")
        return function(*args, **kwargs)

    return call


@functools.cache
def _hints(annotated: Any) -> Mapping[str, Any]:
    """The resolved annotations of a function or class."""
    return typing.get_type_hints(annotated)


def check_fields(value: Any, place: str = "") -> None:
    """Check a dataclass's fields against their annotations, and turn lists into the tuples that are annotated.

    :param place: what messages begin with. Default: the name of the class.
    :raises ConfigurationError: for the first field that does not match.
    """
    hints = _hints(value.__class__)
    for field in dataclasses.fields(value):
        given = getattr(value, field.name)
        hint = hints[field.name]
        if isinstance(given, list) and typing.get_origin(hint) is tuple:
            given = tuple(given)
            object.__setattr__(value, field.name, given)
        if problem := mismatch(given, hint):
            raise ConfigurationError(f"{place or type(value).__name__}: {field.name} {problem}")


def check_arns(place: str, name: str, values: Iterable[str], *, service: str, resources: Sequence[str]) -> None:
    """Refuse values that are not ARNs of a service's resource, such as ``role/`` or ``user/`` of ``iam``.

    :param resources: accepted prefixes of the resource part.
    :raises ConfigurationError: for the first other value; tokens pass.
    """
    for value in values:
        if is_token(value):
            continue
        found = _ARN.fullmatch(value)
        if not found or found["service"] != service or not found["resource"].startswith(tuple(resources)):
            kinds = " or ".join(f"arn:aws:{service}::123456789012:{resource}NAME" for resource in resources)
            raise ConfigurationError(f"{place}: {name} must be an ARN such as {kinds}, got {value!r}")


def is_token(value: object) -> bool:
    """Whether a value holds a CDK token: then it is known to CloudFormation alone, and no check can read it.

    Faster than ``Token.is_unresolved``, which asks another process.
    """
    if isinstance(value, str):
        return "${Token[" in value or "#{Token[" in value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value < -1e100
    if isinstance(value, (list, tuple)):
        return any(is_token(each) for each in value)
    return hasattr(type(value), "resolve") and hasattr(type(value), "creation_stack")


def suggestion(value: str, words: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the most similar word, or nothing."""
    known = {word.lower().replace("-", "_"): word for word in words}
    near = difflib.get_close_matches(value.lower().replace("-", "_"), known, n=1)
    return f"; did you mean {known[near[0]]!r}?" if near else ""


def mismatch(value: object, hint: Any) -> str | None:
    """Why a value does not fit an annotation, as the rest of a sentence that begins with the argument's name."""
    origin, parameters = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object or isinstance(hint, TypeVar):
        return None
    if origin is typing.Annotated:
        return mismatch(value, parameters[0])
    if origin in (typing.Union, types.UnionType):
        return _union_mismatch(value, parameters)
    if value is None:
        return None if hint in (None, types.NoneType) else f"must be {_named(hint)}, got None; leave it out or set it"
    if origin is Literal:
        return _literal_mismatch(value, parameters)
    if is_token(value):
        return None
    if origin in _LISTS or origin in (tuple, Iterable) or hint in (Sequence, list, tuple):
        return _list_mismatch(value, hint, origin, parameters)
    if origin in (AbstractSet, set, frozenset):
        return _each_mismatch(value, parameters) if isinstance(value, (set, frozenset)) else _not(value, hint)
    if origin in (Mapping, dict):
        return _mapping_mismatch(value, parameters)
    if hint is float:
        return None if isinstance(value, (int, float)) and not isinstance(value, bool) else _not(value, hint)
    if hint is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else _not(value, hint)
    if origin is None and isinstance(hint, type):
        return _class_mismatch(value, hint)
    return None


def _union_mismatch(value: object, options: tuple[Any, ...]) -> str | None:
    problems = [mismatch(value, option) for option in options]
    if any(problem is None for problem in problems):
        return None
    wanted = [
        (problem, option)
        for problem, option in zip(problems, options, strict=True)
        if option is not type(None) and not _is_named_by_its_interface(option, options)
    ]
    if len(wanted) == 1:
        return wanted[0][0]
    return f"must be {' or '.join(_named(option) for _, option in wanted)}, got {value!r}"


def _is_named_by_its_interface(option: Any, options: tuple[Any, ...]) -> bool:
    """Whether an option is a class of the CDK such as ``kms.Key`` next to its interface ``kms.IKey``.

    Both are annotated, because pyright refuses the class for the interface: jsii calls parameters of the two otherwise.
    """
    interface = f"I{getattr(option, '__name__', '')}"
    return any(getattr(other, "__name__", "") == interface for other in options)


def _literal_mismatch(value: object, words: tuple[Any, ...]) -> str | None:
    if any(type(word) is type(value) and word == value for word in words):
        return None
    near = suggestion(value, [word for word in words if isinstance(word, str)]) if isinstance(value, str) else ""
    return f"must be {' or '.join(map(repr, words))}, got {value!r}{near}"


def _list_mismatch(value: object, hint: Any, origin: Any, parameters: tuple[Any, ...]) -> str | None:
    if isinstance(value, (str, bytes)):
        return f"must be a list, got {value!r}; write [{value!r}]"
    if isinstance(value, (Mapping, AbstractSet)) and origin is not Iterable:
        return _not(value, hint)
    if not isinstance(value, Iterable):
        return f"must be a list, got {value!r}"
    if origin is tuple and Ellipsis not in parameters:
        if not isinstance(value, (list, tuple)) or len(value) != len(parameters):
            return f"must be {len(parameters)} values, got {value!r}"
        for one, wanted in zip(value, parameters, strict=True):
            if problem := mismatch(one, wanted):
                return f"has an item that {problem}"
        return None
    if not isinstance(value, (list, tuple)):
        return None  # a generator or view can be read once
    return _each_mismatch(value, parameters)


def _each_mismatch(values: Iterable[object], parameters: tuple[Any, ...]) -> str | None:
    for one in values:
        if parameters and (problem := mismatch(one, parameters[0])):
            return f"has an item that {problem}"
    return None


def _mapping_mismatch(value: object, parameters: tuple[Any, ...]) -> str | None:
    if not isinstance(value, Mapping):
        return f"must map names to values, got {value!r}"
    for key, one in value.items() if parameters else ():
        if problem := mismatch(key, parameters[0]):
            return f"has a key that {problem}"
        if problem := mismatch(one, parameters[1]):
            return f"has at {key!r} a value that {problem}"
    return None


def _class_mismatch(value: object, hint: type) -> str | None:
    if getattr(hint, "_is_protocol", False):  # of the CDK's interfaces: objects from jsii need not declare them
        return _not(value, hint) if isinstance(value, _PLAIN) else None
    return None if isinstance(value, hint) else _not(value, hint)


def _not(value: object, hint: Any) -> str:
    return f"must be {_named(hint)}, got {value!r}"


def _named(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (*_LISTS, tuple):
        return "a list"
    name = getattr(hint, "__name__", str(hint))
    return _WORDS.get(hint, f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}")


def _place(given: Mapping[str, Any]) -> str:
    """The path of the construct, or that of the construct to be created; empty if there is none."""
    scope: Any = given.get("scope")
    itself: Any = given.get("self")
    if "id" in given and hasattr(scope, "node"):
        return f"{scope.node.path}/{given['id']}".lstrip("/")
    return str(itself.node.path) if hasattr(itself, "node") else ""
