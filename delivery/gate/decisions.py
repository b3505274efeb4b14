"""Security settings in free text: environment variables, arguments, ConfigMaps, Helm values, parameters.

They are recognized by name: ``decisions.toml``. Settings with a known safer value are compared; any other change of a
setting whose name suggests access control counts as worse.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from delivery.gate.changes import Difference, Place
from delivery.gate.findings import Finding, Verdict, finding
from delivery.gate.structure import covers, names_of, structured
from delivery.gate.templates import Resource, Side
from delivery.gate.values import Value, text_of

_FREE: dict[str, Place] = {
    "AWS::CodeBuild::Project": ("Environment", "EnvironmentVariables"),
    "AWS::EKS::Addon": ("ConfigurationValues",),
    "AWS::Lambda::Function": ("Environment", "Variables"),
    "AWS::SSM::Parameter": ("Value",),
    "Custom::AWSCDK-EKS-HelmChart": ("Values",),
}
"""The properties with free text, by resource type."""
_TABLE = tomllib.loads(Path(__file__).with_name("decisions.toml").read_text(encoding="utf-8"))
_WORDS = frozenset(_TABLE["words"].split())
_NOT_WORDS = frozenset(_TABLE["not_words"].split())
_BETTER: dict[str, bool] = _TABLE["better"]
_ORDER: dict[str, list[str]] = _TABLE["order"]
_EXPOSURE = re.compile(r"(^|\.)service\.(type|annotations)|loadBalancerClass|loadBalancerSourceRanges")
_LISTS = frozenset({"addresses", "allow", "allowed", "allowlist", "cidrs", "domains", "emails", "permitted", "trusted"})
_DIGITS = re.compile(r"\d+$")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
WHY = "its name suggests that it controls access or protection; the direction of the change is unknown"


def is_free(type: str, place: Place) -> bool:
    """Whether a place is within the free text of a resource type."""
    free = _FREE.get(type)
    return free is not None and place[: len(free)] == free


def worse(resource: Resource, difference: Difference) -> str:
    """Why a change within the free text of a resource may allow more; None if it does not."""
    place = names_of(difference.place)
    if not is_free(resource.type, place):
        return ""
    below = place[len(_FREE[resource.type]) :]
    if resource.type == "AWS::SSM::Parameter":
        below = tuple(parameter_name(resource).split("/"))
        if is_allow_list(below[-1]):
            return ""  # judged together with the other parts of its list
    return worse_setting(below, difference.before, difference.after)


def worse_setting(names: Place, before: Value | None, after: Value | None) -> str:
    """Why a changed setting may allow more; None if it does not.

    :param names: its path within the text.
    """
    last = names[-1] if names else ""
    if last in _BETTER:
        is_better = text_of(after if after is not None else "").lower() == str(_BETTER[last]).lower()
        return "" if is_better else f"{last} is safer as {str(_BETTER[last]).lower()}"
    for name, order in _ORDER.items():
        if last == name or (last == "type" and names[-2:-1] == (name,)):
            old, new = (text_of(one) if one is not None else "" for one in (before, after))
            if old in order and new in order:
                return "" if order.index(new) >= order.index(old) else f"{name} is weaker"
    if names[-2:] == ("capabilities", "drop"):
        return "" if covers(_list(after), _list(before)) else "containers keep more capabilities"
    if not decides(".".join(names)):
        return ""
    return "" if is_allow_list(last) and after is not None and covers(_list(before), _list(after)) else WHY


def parameter_name(parameter: Resource) -> str:
    """The name of a Systems Manager parameter, or its construct path if CloudFormation generates the name."""
    return text_of(parameter.properties.get("Name", "")) or parameter.path


def is_allow_list(name: str) -> bool:
    """Whether the name of a setting suggests a list of what is allowed."""
    return not _LISTS.isdisjoint(part.lower() for part in _PARTS.findall(_DIGITS.sub("", name)))


def longer_allow_lists(before: Side, after: Side) -> Iterator[Finding]:
    """A finding for each list in Systems Manager parameters that has more entries than before.

    A long list is split into several parameters whose names end with a number. It is judged as a whole.
    """
    old, new = _lists(before), _lists(after)
    for key, (parameter, names) in new.items():
        added = sorted(names - (old[key][1] if key in old else set()))
        if added and parameter.stack in before.templates:
            what = f"{', '.join(added[:3])}{f' and {len(added) - 3} more' if len(added) > 3 else ''}"
            yield finding(parameter, Verdict.WIDENING, f"also lists {what}", "more is allowed", stops=True)


def _lists(side: Side) -> dict[tuple[str, str], tuple[Resource, set[str]]]:
    found: dict[tuple[str, str], tuple[Resource, set[str]]] = {}
    for one in side.resources():
        name = parameter_name(one) if one.type == "AWS::SSM::Parameter" else ""
        if is_allow_list(name.rpartition("/")[2]):
            _, names = found.setdefault((one.stack, _DIGITS.sub("", name)), (one, set()))
            names |= {text_of(word) for word in _list(structured(one.properties.get("Value", "")))}
    return found


def worse_lines(before: str, after: str) -> Iterator[str]:
    """Changed lines of a text, such as a configuration file, that seem to control access."""
    old, new = ({line.strip() for line in text.splitlines()} for text in (before, after))
    for line in sorted(old ^ new):
        if decides(re.split(r"[=:]", line, maxsplit=1)[0]):
            yield line


def decides(name: str) -> bool:
    """Whether the name of a setting suggests that it controls access or protection."""
    if not _NOT_WORDS.isdisjoint(name.split(".")):
        return False
    return bool(_EXPOSURE.search(name)) or not _WORDS.isdisjoint(
        part.lower() for part in _PARTS.findall(_DIGITS.sub("", name))
    )


def _list(value: Value | None) -> list[Value]:
    """A list, or a text of several entries that are separated by commas or line breaks."""
    if isinstance(value, str):
        return [word.strip() for word in re.split(r"[,\n]", value) if word.strip()]
    return value if isinstance(value, list) else []
