"""A corpus of changes with the verdict of each: tests/delivery/corpus/."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from delivery.gate.findings import Finding, Verdict
from delivery.gate.judgement import judge

CORPUS = Path(__file__).parent / "corpus"
CASES = [(path.stem, case) for path in sorted(CORPUS.glob("*.yaml")) for case in yaml.safe_load(path.read_text())]


@pytest.mark.parametrize(("theme", "case"), CASES, ids=[f"{theme}: {case['case']}" for theme, case in CASES])
def test_a_change_has_the_verdict_that_the_corpus_expects(theme: str, case: dict[str, Any], make_stack: Any) -> None:
    before, after = templates(case)
    found = judge([make_stack(after)], {"prod-Test": before}).findings

    serious = sorted(
        {f"{'stop ' if one.stops else ''}{one.verdict} {one.resource}" for one in found if is_serious(one)}
    )
    expected = case["expect"]
    assert serious == (sorted(expected) if isinstance(expected, list) else [])
    assert bool(found) == (expected != "nothing")
    words = " ".join(f"{one.what} {one.why}" for one in found)
    assert not [secret for secret in case.get("hidden", ()) if secret in words]


def test_the_corpus_has_every_verdict_and_no_case_twice() -> None:
    expected = {words.split()[-2] for _, case in CASES if isinstance(case["expect"], list) for words in case["expect"]}
    assert expected == {str(verdict) for verdict in Verdict if verdict != Verdict.SAFE}
    names = [(theme, case["case"]) for theme, case in CASES]
    assert len(names) == len(set(names)) >= 60


def is_serious(finding: Finding) -> bool:
    return finding.verdict != Verdict.SAFE


def templates(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both templates of a case, from the short forms that the heads of the files explain."""
    if "objects" in case:
        before, after = manifest(case["objects"]), manifest(case["objects_after"])
    elif "may" in case or "trusts" in case:
        before, after = role(case, ""), role(case, "_after")
    else:
        before = case["before"]
        after = case["after"] if "after" in case else merged(before, case["change"])
    parameters = {"Parameters": case.get("parameters", {})}
    conditions = case.get("conditions", {})
    return (
        {"Resources": before, "Conditions": conditions, **parameters},
        {"Resources": after, "Conditions": case.get("conditions_after", conditions), **parameters},
    )


def role(case: dict[str, Any], when: str) -> dict[str, Any]:
    statements = [{"Effect": "Allow", **one} for one in case.get(f"may{when}", ())]
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": case.get(f"trusts{when}", {"Service": "x"})}
    properties = {
        "AssumeRolePolicyDocument": {"Statement": [trust]},
        "Policies": [{"PolicyName": "own", "PolicyDocument": {"Statement": statements}}],
    }
    return {"Role": {"Type": "AWS::IAM::Role", "Properties": properties}}


def manifest(objects: list[dict[str, Any]]) -> dict[str, Any]:
    text = json.dumps([{"apiVersion": "v1", **one} for one in objects])
    properties = {"ClusterName": "training", "Manifest": text}
    return {"Objects": {"Type": "Custom::AWSCDK-EKS-KubernetesResource", "Properties": properties}}


def merged(before: Any, change: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict) or not isinstance(before, dict):
        return change
    found = {key: value for key, value in before.items() if change.get(key, value) is not None}
    return found | {key: merged(before.get(key, {}), value) for key, value in change.items() if value is not None}


def test_a_long_value_is_shown_where_it_differs(make_stack: Any) -> None:
    texts = ["x" * 100 + end for end in ("one", "two")]
    before, after = (
        {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": one}}}} for one in texts
    )
    (found,) = judge([make_stack(after)], {"prod-Test": before}).findings
    assert found.what == f"DisplayName: …{'x' * 15}one -> …{'x' * 15}two"


def test_a_text_of_several_lines_is_shown_on_one(make_stack: Any) -> None:
    before, after = (
        {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": text}}}}
        for text in ("one\ntwo", "one\n\nthree")
    )
    (found,) = judge([make_stack(after)], {"prod-Test": before}).findings
    assert found.what == "DisplayName: one two -> one three"
