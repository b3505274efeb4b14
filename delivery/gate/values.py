"""Values of templates in one form, so that two that mean the same are equal.

Numbers and booleans become text, as CloudFormation takes them. `Fn::Join` and `Fn::Sub` become text in which
``«Id»``, ``«Id.Attribute»``, ``«import:Export»`` and ``«output:Stack:Output»`` stand for what is known only when
it is deployed; account, region and partition are filled in. Policy documents are in order, other sets too.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = str | dict[str, Any] | list[Any]
"""A value in that one form."""

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
    """What the values of a template are read with.

    :param pseudo: values of ``AWS::Region`` and the like.
    :param parameters: defaults by name.
    :param conditions: their definitions by name, so that a change of one is a change wherever it is used.
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
            },
            conditions=template.get("Conditions", {}),
            mappings=template.get("Mappings", {}),
        )


def scalar(value: object) -> str:
    """A number, boolean or text as CloudFormation takes it. It keeps no other characters than ASCII in templates."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return _NOT_ASCII.sub("?", str(value))


def canonical(value: Any, around: Surroundings, *, name: str = "") -> Value:
    """A value of a template in the one form.

    :param name: the property that it is a value of.
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


def references(value: Value) -> Iterator[str]:
    """Everything between ``«`` and ``»``, that inside of others included."""
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
    """A value for people to read, on one line."""
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
            return f"«output:{argument.get('StackName')}:{argument.get('OutputName')}»"
        case "Fn::Join":
            return _joined(argument, around)
        case "Fn::Sub":
            return _substituted(argument, around)
        case "Fn::FindInMap" if all(isinstance(key, str) for key in argument[:3]):
            top, first, second = argument[:3]
            found = around.mappings.get(top, {}).get(first, {}).get(second)
            return canonical(found, around) if found is not None else {function: [str(key) for key in argument]}
        case "Condition":
            return {"Condition": canonical(around.conditions.get(argument, argument), around)}
        case "Fn::If":
            condition, *rest = argument
            return {function: [canonical({"Condition": condition}, around), *(canonical(one, around) for one in rest)]}
    return {function: canonical(argument, around)}


def _referred(name: str, around: Surroundings) -> str:
    if name in around.pseudo:
        return around.pseudo[name]
    return around.parameters.get(name, f"«{name}»")


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
    """A value inside a text. Quotes of a function's arguments would end the text where that is JSON."""
    return text_of(value).replace('"', "'") if isinstance(value, dict) else text_of(value)


def _statement(statement: dict[str, Any]) -> dict[str, Any]:
    """A policy statement without its name, which changes nothing, and with principals as lists."""
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
