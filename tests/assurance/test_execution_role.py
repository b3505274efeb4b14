"""CloudFormation's execution role: the policies that are offered for it are exactly what the templates need."""

import json
from pathlib import Path
from typing import Any

import pytest

from assurance.permissions.execution_role import UnknownTypeError, needed, of_resource, outside
from delivery.assembly import Stack
from delivery.bootstrap import policies, role_prefixes
from delivery.execution_policy import MAX_CHARACTERS, Execution


def stack(tmp_path: Path, **resources: dict[str, Any]) -> Stack:
    file = tmp_path / "template.json"
    file.write_text(json.dumps({"Resources": resources}), encoding="utf-8")
    return Stack(id="dev/Test", name="dev-Test", account="111111111111", region="eu-west-1", template_file=file)


def test_the_offered_policies_are_what_the_templates_need_and_no_more(stacks: tuple[Stack, ...]) -> None:
    """After a change of the templates: `make execution-policy`, and update the policies of accounts that have them."""
    assert Execution.load() == needed(stacks)
    assert list(outside(Execution.load(), stacks)) == []


def test_a_resource_outside_of_the_policies_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    made = stack(tmp_path, Broker={"Type": "AWS::AmazonMQ::Broker"})
    (line,) = outside(Execution.load(), [made])
    assert line.startswith("dev/Test/Broker: AWS::AmazonMQ::Broker needs ")
    assert "mq:CreateBroker" in line


def test_a_property_that_passes_a_role_to_another_service_is_found(tmp_path: Path) -> None:
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}}}
    made = stack(tmp_path, Function=function)
    assert needed([made]).passed == ("lambda.amazonaws.com",)
    narrow = Execution(needed([made]).actions, needed([made]).own, (), ())
    assert list(outside(narrow, [made])) == ["dev/Test/Function: AWS::Lambda::Function needs lambda.amazonaws.com"]


def test_a_role_passed_to_an_unknown_service_is_refused(tmp_path: Path) -> None:
    instance = {"Type": "AWS::SageMaker::Model", "Properties": {"ExecutionRoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}}
    with pytest.raises(UnknownTypeError, match="dev/Test/Model: AWS::SageMaker::Model takes a role"):
        needed([stack(tmp_path, Model=instance)])


def test_a_type_without_handlers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownTypeError, match="AWS::Nothing::Here: the registry has no handlers of it"):
        list(of_resource({"Type": "AWS::Nothing::Here"}))


def test_each_policy_fits_and_roles_are_limited_to_the_account_and_its_stacks(stacks: tuple[Stack, ...]) -> None:
    mine = [each for each in stacks if each.account == "333333333333"]
    documents = Execution.load().documents("333333333333", role_prefixes(mine))
    assert all(len(json.dumps(each, separators=(",", ":"))) <= MAX_CHARACTERS for each in documents)
    assert len(documents) <= 10, "a role takes ten managed policies"
    statements = [one for each in documents for one in each["Statement"]]
    for one in statements:
        on_roles = [name for name in one["Action"] if name in Execution.load().own]
        assert not on_roles or "*" not in one["Resource"]
    (passing,) = (one for one in statements if one["Action"] == "iam:PassRole")
    assert all(each.startswith("arn:aws:iam::333333333333:role/") for each in passing["Resource"])


def test_every_role_of_the_templates_is_within_the_names(stacks: tuple[Stack, ...]) -> None:
    for each in stacks:
        if each.account != "333333333333":
            continue
        for role in each.resources("AWS::IAM::Role").values():
            path = role.get("Properties", {}).get("Path", "/").lstrip("/")
            name = f"{path}{role.get('Properties', {}).get('RoleName', each.name)}"
            assert name.startswith(tuple(role_prefixes([each]))), name


def test_bootstrap_writes_the_policies_and_prints_how_they_are_created(
    stacks: tuple[Stack, ...], tmp_path: Path
) -> None:
    lines = list(policies(stacks, tmp_path / "policies", None))
    written = sorted((tmp_path / "policies").iterdir())
    assert {file.name.partition("-")[0] for file in written} == {each.account for each in stacks} - {"000000000000"}
    for file in written:
        assert any(f"file://{file}" in line for line in lines)
