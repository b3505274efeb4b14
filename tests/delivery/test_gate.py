import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from config.approvals import Approval, load_approvals
from config.loader import ConfigError
from delivery.gate.__main__ import main
from delivery.gate.approved import decide, snippet
from delivery.gate.findings import Finding, Verdict
from delivery.gate.judgement import Judgement, judge
from delivery.gate.report import report
from delivery.gate.rules import rules
from delivery.gate.specification import Replacement, Specification

TODAY = datetime.date(2026, 11, 23)
FILES = {"Files": {"Type": "AWS::EFS::FileSystem", "Properties": {"Encrypted": True}}}
OTHER_FILES = {"Files": {"Type": "AWS::EFS::FileSystem", "Properties": {"Encrypted": False}}}


@pytest.fixture
def replaced(make_stack: Any) -> Judgement:
    """A file system that would be replaced."""
    return judge([make_stack({"Resources": OTHER_FILES})], {"prod-Test": {"Resources": FILES}})


def approval(**values: Any) -> Approval:
    known = {
        "account": "prod",
        "stack": "Test",
        "resource": "Files",
        "change": "replacing",
        "reason": "moved by the platform team",
        "expires": TODAY,
    }
    return Approval.model_validate(known | values)


@pytest.mark.promise("gate")
def test_changes_without_approval_are_stopped(replaced: Judgement) -> None:
    decision = decide("prod", replaced.findings, [], TODAY)
    assert [one.resource for one in decision.stopped] == ["Files"]


@pytest.mark.parametrize("values", [{}, {"account": "*"}])
def test_an_approval_by_name_lets_a_change_pass_until_its_last_day(replaced: Judgement, values: dict[str, str]) -> None:
    decision = decide("prod", replaced.findings, [approval(**values)], TODAY)
    assert decision.stopped == ()
    assert [reason for _, reason in decision.approved] == ["moved by the platform team"]
    assert decision.remarks == ()


@pytest.mark.parametrize("verdict", sorted(set(Verdict) - {Verdict.SAFE, Verdict.FAILING}))
def test_every_verdict_that_can_stop_can_be_approved_but_for_what_aws_refuses(verdict: Verdict) -> None:
    stopped = Finding("prod-Test", "Files", "Files", "AWS::EFS::FileSystem", verdict, "what", "why", stops=True)
    printed = tomllib.loads(snippet("prod", stopped).replace("expires = ...", "expires = 2026-11-23"))["approval"][0]
    assert decide("prod", [stopped], [approval(**printed | {"reason": "known to the team"})], TODAY).stopped == ()


@pytest.mark.parametrize(
    "values", [{"stack": "Other"}, {"resource": "Others"}, {"change": "widening"}, {"account": "dev"}]
)
def test_an_approval_of_something_else_lets_nothing_pass(replaced: Judgement, values: dict[str, str]) -> None:
    assert decide("prod", replaced.findings, [approval(**values)], TODAY).stopped


def test_an_expired_approval_has_no_effect_and_is_reported(replaced: Judgement) -> None:
    decision = decide("prod", replaced.findings, [approval(expires=datetime.date(2026, 11, 22))], TODAY)
    assert decision.stopped
    assert decision.remarks == ("config/approvals.toml: prod Test Files replacing: expired on 2026-11-22; remove it",)


@pytest.mark.promise("repeatable")
def test_an_unused_approval_is_reported_and_stops_nothing() -> None:
    """The run after an approved one must not stop because of the approval."""
    decision = decide("prod", (), [approval()], TODAY)
    assert decision.stopped == ()
    assert decision.remarks == (
        "config/approvals.toml: prod Test Files replacing: matches no current change; remove it",
    )


def test_an_approval_for_every_account_may_wait_for_another_one() -> None:
    assert decide("prod", (), [approval(account="*")], TODAY).remarks == ()


def test_the_printed_lines_approve_what_was_stopped(replaced: Judgement, tmp_path: Path) -> None:
    (stopped,) = decide("prod", replaced.findings, [], TODAY).stopped
    path = tmp_path / "approvals.toml"
    text = snippet("prod", stopped).replace('"..."', '"checked by two people"').replace("= ...", "= 2026-11-23")
    path.write_text(text, encoding="utf-8")
    assert decide("prod", replaced.findings, load_approvals(path), TODAY).stopped == ()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('[[approval]]\nacount = "prod"', "approval.0.acount: unknown key; did you mean 'account'?"),
        ('[[approval]]\nchange = "all"', "approval.0.change: "),
        ('[[approval]]\nreason = "because"', "approval.0.reason: "),
        ("[[approvals]]", "approvals: unknown key; did you mean 'approval'?"),
        ("[[approval]]\n", "approval.0.expires: required; add it"),
    ],
)
def test_a_mistake_in_the_file_is_refused(text: str, mistake: str, tmp_path: Path) -> None:
    path = tmp_path / "approvals.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        load_approvals(path)
    assert mistake in str(refusal.value)


def test_the_file_of_this_project_can_be_read() -> None:
    assert all(one.reason for one in load_approvals())


def test_the_report_names_what_is_stopped_and_how_to_approve_it(replaced: Judgement) -> None:
    text = report("prod", replaced, decide("prod", replaced.findings, [], TODAY))
    assert "STOP replacing    Files (AWS::EFS::FileSystem)" in text
    assert "Encrypted: true -> false" in text
    assert "Encrypted cannot change in place; the new one is empty; the old one is deleted" in text
    assert 'resource = "Files"\nchange = "replacing"' in text
    assert text.endswith("prod: 1 replacing; 1 stopped")


def test_the_report_gives_the_reason_of_an_approval(replaced: Judgement) -> None:
    text = report("prod", replaced, decide("prod", replaced.findings, [approval()], TODAY))
    assert "STOP" not in text
    assert "approved: moved by the platform team" in text


def test_a_stack_that_is_not_deployed_is_new_and_safe(make_stack: Any) -> None:
    judgement = judge([make_stack({"Resources": FILES})], {})
    assert judgement == Judgement((), {"prod-Test": 1})
    text = report("prod", judgement, decide("prod", (), [], TODAY))
    assert text.startswith("new stacks, not deployed yet: prod-Test (1 resources)")


def test_a_stack_that_is_no_longer_part_of_the_account_is_named(make_stack: Any) -> None:
    stack = make_stack({"Resources": FILES})
    judgement = judge([stack], {"prod-Test": stack.template}, forgotten={"prod-Batch": {}})
    text = report("prod", judgement, decide("prod", (), [], TODAY))
    assert "unchanged until they are destroyed: prod-Batch" in text


NETWORK = {
    "Resources": {"Vpc": {"Type": "AWS::EC2::VPC"}},
    "Outputs": {"Vpc": {"Value": {"Ref": "Vpc"}, "Export": {"Name": "prod-Network:Vpc"}}},
}
WITHOUT_EXPORT = {"Resources": NETWORK["Resources"]}
USING = {
    "Resources": {
        "Tag": {"Type": "AWS::SSM::Parameter", "Properties": {"Value": {"Fn::ImportValue": "prod-Network:Vpc"}}}
    }
}
NOT_USING = {"Resources": {"Tag": {"Type": "AWS::SSM::Parameter", "Properties": {"Value": "none"}}}}


def test_an_export_cannot_be_removed_in_the_same_deployment_as_its_last_use(make_stack: Any) -> None:
    """The stack that has it comes first."""
    after = [make_stack(WITHOUT_EXPORT, "prod-Network"), make_stack(NOT_USING, "prod-Batch")]
    found = judge(after, {"prod-Network": NETWORK, "prod-Batch": USING}).findings
    (failing,) = [one for one in found if one.verdict == "failing"]
    assert (failing.stack, failing.stops) == ("prod-Network", True)
    assert "because prod-Batch still uses it" in failing.why
    assert failing.why.endswith("as it is now, run `cdk deploy --exclusively prod/Batch`, then deploy everything")


def test_an_export_cannot_be_removed_while_a_stack_outside_the_account_file_uses_it(make_stack: Any) -> None:
    judgement = judge(
        [make_stack(WITHOUT_EXPORT, "prod-Network")], {"prod-Network": NETWORK}, forgotten={"prod-Batch": USING}
    )
    assert [one.verdict for one in judgement.findings] == ["failing"]
    text = report("prod", judgement, decide("prod", judgement.findings, [], TODAY))
    assert "STOP failing      export prod-Network:Vpc (export)" in text
    assert "[[approval]]" not in text


def test_an_unused_export_may_be_removed(make_stack: Any) -> None:
    assert judge([make_stack(WITHOUT_EXPORT, "prod-Network")], {"prod-Network": NETWORK}).findings == ()


def test_a_required_setting_is_never_to_be_removed(make_stack: Any) -> None:
    """Neither for its own resource nor for one that is replaced because of it."""

    def network(cidr: str) -> dict[str, Any]:
        resources = {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": cidr}},
            "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        }
        exports = {
            name: {"Value": {"Ref": name}, "Export": {"Name": f"prod-Network:{name}"}} for name in ("Vpc", "Group")
        }
        return {"Resources": resources, "Outputs": exports}

    names = [{"Fn::ImportValue": f"prod-Network:{name}"} for name in ("Vpc", "Group")]
    using = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Join": ["", names]}}}}
    }
    after = [make_stack(network("10.2.0.0/16"), "prod-Network"), make_stack(using, "prod-Batch")]
    found = judge(after, {"prod-Network": network("10.1.0.0/16"), "prod-Batch": using}).findings
    advice = {one.why.split("; ")[1] for one in found if one.type == "export"}
    assert len(advice) == 1
    assert advice.pop().startswith("keep network.cidr, because")


@pytest.mark.promise("gate")
def test_replacement_crosses_stacks_through_exports_which_cannot_change(make_stack: Any) -> None:
    """A replaced subnet replaces the file system of another stack, whose import refuses the replacement."""

    def network(cidr: str) -> dict[str, Any]:
        subnet = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": "vpc-1", "CidrBlock": cidr}}
        output = {"Value": {"Ref": "Subnet"}, "Export": {"Name": "prod-Network:Subnet"}}
        return {"Resources": {"Subnet": subnet}, "Outputs": {"Export": output}}

    subnets = {"SubnetIds": [{"Fn::ImportValue": "prod-Network:Subnet"}]}
    storage = {"Resources": {"Files": {"Type": "AWS::FSx::FileSystem", "Properties": subnets}}}
    after = [make_stack(network("10.0.1.0/24"), "prod-Network"), make_stack(storage, "prod-Storage")]
    found = judge(after, {"prod-Network": network("10.0.0.0/24"), "prod-Storage": storage}).findings
    assert [(one.stack, one.verdict, one.stops) for one in found] == [
        ("prod-Network", "replacing", True),
        ("prod-Network", "failing", True),
        ("prod-Storage", "replacing", True),
    ]
    assert "because prod-Storage still uses it" in found[1].why
    assert "SubnetIds.0 is of Subnet, which is replaced" in found[2].why


def test_a_reference_that_becomes_weak_is_still_the_same_thing(make_stack: Any) -> None:
    """An import and a stack output of one role name one principal."""
    security = {
        "Resources": {"Role": {"Type": "AWS::IAM::Role"}},
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}, "Export": {"Name": "RoleArn"}}},
    }

    def data(arn: dict[str, Any]) -> dict[str, Any]:
        statement = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "kms:Decrypt", "Resource": "*"}
        key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Statement": [statement]}}}
        return {"Resources": {"Key": key}}

    strong = data({"Fn::ImportValue": "RoleArn"})
    weak = data({"Fn::GetStackOutput": {"StackName": "prod-Security", "OutputName": "Arn"}})
    after = [make_stack(security, "prod-Security"), make_stack(weak, "prod-Data")]
    found = judge(after, {"prod-Security": security, "prod-Data": strong}).findings
    assert [str(one.verdict) for one in found] == ["safe"]


def test_every_rule_has_an_existing_property_and_a_source() -> None:
    specification = Specification.load()
    for rule in rules():
        assert rule.source.startswith(("https://", "docs/")), rule
        for type in rule.types:
            for name in rule.properties:
                if type.startswith("AWS::"):
                    assert specification.knows(type, tuple(name.split("."))), f"{type} has no {name}"


def test_every_correction_still_corrects_something() -> None:
    corrected = Specification.load()
    plain = Specification.load.__wrapped__(Specification)  # type: ignore[attr-defined]
    corrections = set(corrected.in_place)
    plain.in_place = frozenset()
    for type, name in corrections:
        place = tuple(name.split("."))
        assert corrected.replacement(type, place) == Replacement.NO
        assert plain.replacement(type, place) != Replacement.NO, f"{type} {name}: the specification knows by now"


def assembly(folder: Path, resources: dict[str, Any]) -> Path:
    """A cloud assembly with one stack in one stage."""
    folder.mkdir()
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://111111111111/eu-west-1",
        "properties": {"templateFile": "t.json", "stackName": "prod-Test"},
        "displayName": "prod/Test",
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {"prodTest": stack}}), encoding="utf-8")
    (folder / "t.json").write_text(json.dumps({"Resources": resources}), encoding="utf-8")
    return folder


@pytest.mark.promise("gate")
def test_two_assemblies_are_compared_without_an_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = assembly(tmp_path / "before", FILES), assembly(tmp_path / "after", OTHER_FILES)
    both = ["--before", str(before), "--after", str(after)]
    assert main(["prod", *both]) == 1
    assert "STOP replacing" in capsys.readouterr().out
    assert main(["prod", *both, "--report"]) == 0
    assert main(["prod", "--before", str(after), "--after", str(after)]) == 0


def test_without_credentials_one_line_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    assert main(["prod", "--assembly", str(assembly(tmp_path / "after", FILES))]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert "credentials" in output.err


def test_an_account_that_does_not_exist_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["other", "--assembly", str(assembly(tmp_path / "after", FILES))]) == 1
    assert "no account 'other'; there are: prod" in capsys.readouterr().err
