"""The verdict of a change does not depend on where its value is written."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery.gate.judgement import judge
from tests.delivery.test_gate_corpus import CORPUS, merged

Template = dict[str, Any]
Written = tuple[Any, Template, Template]
"""A value as a property has it, what else its template has for it, and what another stack's template has."""


def inline(value: str) -> Written:
    return value, {}, {}


def in_a_parameter(value: str) -> Written:
    return {"Ref": "Value"}, {"Parameters": {"Value": {"Type": "String", "Default": value}}}, {}


def in_a_mapping(value: str) -> Written:
    return (
        {"Fn::FindInMap": ["Values", {"Ref": "AWS::Region"}, "Value"]},
        {"Mappings": {"Values": {"eu-west-1": {"Value": value}}}},
        {},
    )


def in_a_substitution(value: str) -> Written:
    return {"Fn::Sub": ["${Value}", {"Value": value}]}, {}, {}


def in_a_condition(value: str) -> Written:
    condition = {"Fn::Not": [{"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]}]}
    return {"Fn::If": ["Here", value, "other"]}, {"Conditions": {"Here": condition}}, {}


def in_a_list(value: str) -> Written:
    return {"Fn::Select": [1, {"Fn::Split": ["|", f"other|{value}"]}]}, {}, {}


def in_an_export(value: str) -> Written:
    return {"Fn::ImportValue": "Value"}, {}, {"Outputs": {"Value": {"Value": value, "Export": {"Name": "Value"}}}}


def in_an_output(value: str) -> Written:
    reference = {"Fn::GetStackOutput": {"StackName": "prod-Other", "OutputName": "Value"}}
    return reference, {}, {"Outputs": {"Value": {"Value": value}}}


def in_systems_manager(value: str) -> Written:
    parameter = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/other/size", "Value": value}}
    return "{{resolve:ssm:/other/size}}", {}, {"Resources": {"Parameter": parameter}}


PLACES = (
    in_a_parameter,
    in_a_mapping,
    in_a_substitution,
    in_a_condition,
    in_a_list,
    in_an_export,
    in_an_output,
    in_systems_manager,
)


def cases() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Cases of the corpus in which one value changes to another one, without another change."""
    for path in sorted(CORPUS.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            if "change" in case and isinstance(case["expect"], list) and "conditions" not in case:
                before, after = case["before"], merged(case["before"], case["change"])
                if len(list(changed(before, after))) == 1:
                    yield case["case"], before, after


def changed(before: Any, after: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of texts, numbers and booleans that both sides have, and that differ; nothing else may differ."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        for name in before:
            yield from changed(before[name], after[name], (*place, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from changed(one, other, (*place, index))
    elif "Properties" in place and not isinstance(before, dict | list) and not isinstance(after, dict | list):
        yield place
    else:
        yield from ((), ())


def put(resources: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copied = list(resources) if isinstance(resources, list) else dict(resources)
    copied[place[0]] = put(resources[place[0]], place[1:], value)
    return copied


CASES = list(cases())


def test_the_corpus_has_many_such_cases() -> None:
    assert len(CASES) >= 40


@pytest.mark.promise("gate")
@pytest.mark.parametrize("write", PLACES, ids=lambda write: write.__name__)
def test_the_verdict_is_the_same_wherever_the_value_is_written(
    write: Callable[[str], Written], make_stack: Any, tmp_path: Path
) -> None:
    other: Template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    wrong = []
    for name, before, after in CASES:
        (place,) = changed(before, after)
        verdicts = []
        for written in (inline, write):
            sides = []
            for resources in (before, after):
                value = resources
                for step in place:
                    value = value[step]
                text = str(value).lower() if isinstance(value, bool) else str(value)
                used, own, others = written(text)
                third = {**other, **others, "Resources": {**other["Resources"], **others.get("Resources", {})}}
                sides.append(({"Resources": put(resources, place, used), **own}, third))
            (old, old_other), (new, new_other) = sides
            stacks = [make_stack(new), make_stack(new_other, "prod-Other")]
            found = judge(stacks, {"prod-Test": old, "prod-Other": old_other}).findings
            # A stack that the CDK CLI skips, because only the output of the other one changes, is a finding besides.
            mine = {(one.verdict, one.resource) for one in found if one.stack == "prod-Test" and one.type != "stack"}
            verdicts.append(mine)
        if verdicts[0] != verdicts[1]:
            wrong.append((name, verdicts))
    assert not wrong
