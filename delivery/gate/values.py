"""Template values in normal form, so that equivalent values are equal.

Numbers and booleans become text, as in CloudFormation. ``Fn::Join`` and ``Fn::Sub`` become text in which ``«Id»``,
``«Id.Attribute»``, ``«import:Export»`` and ``«output:Stack:Output@Region»`` represent values that are known only at
deployment. Account, Region and partition are filled in. Policy documents and other sets are sorted.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = str | dict[str, Any] | list[Any]
"""A value in normal form."""

_SETS = frozenset(
    {
        "ManagedPolicies",
        "ManagedPolicyArns",
        "Policies",
        "SecurityGroupEgress",
        "SecurityGroupIds",
        "SecurityGroupIngress",
        "SecurityGroups",
        "Statement",
        "SubnetIds",
        "Subnets",
        "Tags",
        "VPCSecurityGroups",
        "VpcSecurityGroupIds",
    }
)
"""Properties whose lists have no order: their schemas in CloudFormation's registry say ``insertionOrder: false``,
and IAM's policies have none (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html)."""
_ONE_OR_MANY = frozenset({"Action", "NotAction", "Resource", "NotResource"})
_NO_VALUE = {"Ref": "AWS::NoValue"}
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
TOKEN = re.compile(r"«([^«»]*)»")


@dataclass(frozen=True)
class Surroundings:
    """The context for reading the values of a template.

    :param pseudo: values of ``AWS::Region`` and the like.
    :param parameters: defaults by name.
    :param conditions: definitions by name, so that a changed condition is a change wherever it is used.
    """

    pseudo: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, template: Mapping[str, Any], *, account: str, region: str, stack: str) -> "Surroundings":
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        return cls(
            pseudo={
                "AWS::AccountId": account,
                "AWS::Partition": partition,
                "AWS::Region": region,
                "AWS::StackName": stack,
                "AWS::URLSuffix": suffix,
            },
            parameters={
                name: scalar(parameter["Default"])
                for name, parameter in template.get("Parameters", {}).items()
                if "Default" in parameter and not parameter.get("Type", "").startswith("AWS::SSM")
            }
            | {
                name: f"{{{{resolve:ssm:{parameter['Default']}}}}}"
                for name, parameter in template.get("Parameters", {}).items()
                if "Default" in parameter and parameter.get("Type", "").startswith("AWS::SSM")
            },
            conditions=template.get("Conditions", {}),
            mappings=template.get("Mappings", {}),
        )


def scalar(value: object) -> str:
    """A number, boolean or text as CloudFormation stores it, which replaces non-ASCII characters in templates."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return _NOT_ASCII.sub("?", str(value))


def canonical(value: Any, around: Surroundings, *, name: str = "") -> Value:
    """A value of a template in normal form.

    :param name: the property of the value.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            ((function, argument),) = value.items()
            if (
                function == "Ref"
                or function.startswith("Fn::")
                or (function == "Condition" and isinstance(argument, str))
            ):
                return _called(function, argument, around)
        found = {
            key: canonical(item, around, name=key) for key, item in value.items() if item != {"Ref": "AWS::NoValue"}
        }
        return _statement(found) if "Effect" in found else found
    if isinstance(value, list):
        items = [canonical(item, around) for item in value if item != _NO_VALUE]
        return sorted(items, key=_order) if name in _SETS else items
    return scalar(value)


def policy_document(text: str) -> dict[str, Any]:
    """A policy document in normal form, from the text that a template contains in its place, in normal form, too."""
    document: dict[str, Any] = json.loads(text)
    found = document.get("Statement", [])
    return {**document, "Statement": [_statement(one) for one in (found if isinstance(found, list) else [found])]}


def references(value: Value) -> Iterator[str]:
    """Everything between ``«`` and ``»``, including nested ones."""
    if isinstance(value, str):
        for match in TOKEN.finditer(value):
            yield match.group(1)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    else:
        for item in value:
            yield from references(item)


def text_of(value: Value) -> str:
    """The value on one line, for display."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _called(function: str, argument: Any, around: Surroundings) -> Value:
    match function:
        case "Ref":
            return _referred(argument, around)
        case "Fn::GetAtt":
            parts = argument if isinstance(argument, list) else [argument]
            return f"«{'.'.join(_embedded(canonical(part, around)) for part in parts)}»"
        case "Fn::ImportValue":
            return f"«import:{text_of(canonical(argument, around))}»"
        case "Fn::GetStackOutput":
            region = canonical(argument.get("Region", ""), around)
            elsewhere = f"@{text_of(region)}" if region not in ("", around.pseudo["AWS::Region"]) else ""
            return f"«output:{argument.get('StackName')}:{argument.get('OutputName')}{elsewhere}»"
        case "Fn::Join":
            return _joined(argument, around)
        case "Fn::Sub":
            return _substituted(argument, around)
        case "Fn::FindInMap":
            return _found_in_map(argument, around)
        case "Fn::Select":
            return _selected(argument, around)
        case "Fn::Split":
            text = canonical(argument[1], around)
            if isinstance(text, str) and not TOKEN.search(text):
                return list(text.split(scalar(argument[0])))
        case "Fn::ToJsonString":
            return json.dumps(canonical(argument, around))
        case "Condition":
            return {"Condition": canonical(around.conditions.get(argument, argument), around)}
        case "Fn::If":
            condition, *rest = argument
            holds = _holds(around.conditions.get(condition), around)
            if holds is not None:
                return canonical(rest[0 if holds else 1], around)
            return {function: [canonical({"Condition": condition}, around), *(canonical(one, around) for one in rest)]}
    return {function: canonical(argument, around)}


def _referred(name: str, around: Surroundings) -> str:
    if name in around.pseudo:
        return around.pseudo[name]
    return around.parameters.get(name, f"«{name}»")


def _found_in_map(argument: Any, around: Surroundings) -> Value:
    keys = [canonical(key, around) for key in argument[:3]]
    found: Any = around.mappings
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) and isinstance(key, str) else None
    return canonical(found, around) if found is not None else {"Fn::FindInMap": keys}


def _selected(argument: Any, around: Surroundings) -> Value:
    index, items = canonical(argument[0], around), canonical(argument[1], around)
    is_known = isinstance(items, list) and isinstance(index, str) and index.isdigit() and int(index) < len(items)
    return items[int(index)] if is_known else {"Fn::Select": [index, items]}  # type: ignore[index, arg-type]


def _holds(condition: Any, around: Surroundings) -> bool | None:
    """Whether a condition is true; None if it is known only at deployment."""
    if not isinstance(condition, Mapping) or len(condition) != 1:
        return None
    ((function, argument),) = condition.items()
    if function == "Condition":
        return _holds(around.conditions.get(argument), around)
    if function == "Fn::Equals":
        one, other = (canonical(value, around) for value in argument)
        return None if any(TOKEN.search(text_of(value)) for value in (one, other)) else one == other
    if function not in ("Fn::And", "Fn::Not", "Fn::Or"):
        return None
    held = [_holds(one, around) for one in argument]
    if None in held:
        return None
    return not held[0] if function == "Fn::Not" else all(held) if function == "Fn::And" else any(held)


def _joined(argument: Any, around: Surroundings) -> Value:
    delimiter, parts = argument
    if not isinstance(parts, list):
        return {"Fn::Join": [scalar(delimiter), canonical(parts, around)]}
    return scalar(delimiter).join(_embedded(canonical(part, around)) for part in parts)


def _substituted(argument: Any, around: Surroundings) -> str:
    text, given = (argument, {}) if isinstance(argument, str) else argument

    def put(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if literal:
            return f"${{{name}}}"
        if name in given:
            return _embedded(canonical(given[name], around))
        return f"«{name}»" if "." in name else _referred(name, around)

    return _SUBSTITUTION.sub(put, scalar(text))


def _embedded(value: Value) -> str:
    """A value inside a text. Quotes in the arguments of a function are removed: they would end a JSON string."""
    return text_of(value).replace('"', "'") if isinstance(value, dict) else text_of(value)


def _statement(statement: dict[str, Any]) -> dict[str, Any]:
    """A policy statement without its Sid, which has no effect, and with principals as lists."""
    found = {key: item for key, item in statement.items() if key != "Sid"}
    for key in _ONE_OR_MANY & found.keys():
        found[key] = _sorted(found[key])
    for key in ("Principal", "NotPrincipal"):
        if isinstance(found.get(key), str):
            found[key] = {"AWS": [found[key]]}
        elif isinstance(found.get(key), dict):
            found[key] = {kind: _sorted(names) for kind, names in found[key].items()}
    if isinstance(found.get("Condition"), dict):
        found["Condition"] = {
            operator: {key: _sorted(item) for key, item in keys.items()}
            for operator, keys in found["Condition"].items()
            if isinstance(keys, dict)
        }
    return found


def _sorted(one_or_many: Value) -> list[Value]:
    return sorted(one_or_many if isinstance(one_or_many, list) else [one_or_many], key=_order)


def _order(value: Value) -> str:
    return json.dumps(value, sort_keys=True)
