"""What a rehearsal says about permissions, from what the emulator decided."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rehearsal import permissions
from rehearsal.assembly import Assembly
from rehearsal.embedded_aws import EmbeddedAws
from rehearsal.errors import RehearsalError

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/one-Reader"
BUCKET = "arn:aws:s3:::files"


def statement(action: str, resource: str, effect: str = "Allow") -> dict[str, str]:
    return {"Effect": effect, "Action": action, "Resource": resource}


class Decided(EmbeddedAws):
    """An emulator that has decided already."""

    def __init__(self, **found: Any) -> None:
        self._found: dict[str, Any] = {
            "allowed": {},
            "denied": [],
            "undecided": [],
            "unmapped": [],
            "as_root": [],
            "decisions": 1,
            "seconds": 0.25,
            **found,
        }

    def permissions(self) -> dict[str, Any]:
        return self._found

    def state(self) -> dict[str, Any]:
        return {"physical": [["one", "Reader", "one-Reader"], ["one", "Files", "files"]]}


@pytest.fixture
def assembly(tmp_path: Path) -> Callable[..., Assembly]:
    """An assembly of one stack, with a bucket and a role of these statements."""

    def make(*statements: dict[str, str]) -> Assembly:
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
        policy = {"PolicyName": "Own", "PolicyDocument": {"Statement": list(statements)}}
        resources = {
            "Files": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "files"}},
            "Reader": {
                "Type": "AWS::IAM::Role",
                "Properties": {"AssumeRolePolicyDocument": {"Statement": [trust]}, "Policies": [policy]},
            },
        }
        (tmp_path / "one.template.json").write_text(json.dumps({"Resources": resources}), encoding="utf-8")
        stack = {
            "type": "aws:cloudformation:stack",
            "environment": f"aws://{ACCOUNT}/us-east-1",
            "properties": {"templateFile": "one.template.json"},
        }
        (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"one": stack}}), encoding="utf-8")
        (tmp_path / "origins.json").write_text(json.dumps({"one/Reader": "stacks/one.py:12"}), encoding="utf-8")
        return Assembly(tmp_path)

    return make


def summary(assembly: Assembly, tmp_path: Path, *, exercised: bool = True, **found: Any) -> permissions.Summary:
    return permissions.summary(Decided(**found), assembly, tmp_path / "calls.json", exercised=exercised)


READ = {ROLE: {"s3:GetObject": {f"{BUCKET}/a": {}}}}


def test_a_statement_that_allowed_a_call_is_exercised_and_missed(
    assembly: Callable[..., Assembly], tmp_path: Path
) -> None:
    found = summary(assembly(statement("s3:GetObject", f"{BUCKET}/*")), tmp_path, allowed=READ)
    assert (found.roles, found.all_roles, found.statements, found.given, found.missed) == (1, 1, 1, 1, 1)
    assert "1 of these 1 statements cause a denial when removed" in list(found.lines())


def test_a_statement_whose_calls_another_allows_too_is_listed(
    assembly: Callable[..., Assembly], tmp_path: Path
) -> None:
    twice = (statement("s3:GetObject", f"{BUCKET}/*"), statement("s3:Get*", f"{BUCKET}/*"))
    found = summary(assembly(*twice), tmp_path, allowed=READ)
    assert (found.statements, found.missed, len(found.spare)) == (2, 0, 2)


def test_a_statement_that_nothing_speaks_for_is_listed(assembly: Callable[..., Assembly], tmp_path: Path) -> None:
    made = assembly(statement("s3:GetObject", f"{BUCKET}/*"), statement("s3:PutObject", f"{BUCKET}/*"))
    found = summary(made, tmp_path, allowed=READ)
    assert found.rest == (f"one/Reader: may s3:PutObject on {BUCKET}/*: no reason is recorded",)


def test_a_rehearsal_that_exercised_no_statement_fails(assembly: Callable[..., Assembly], tmp_path: Path) -> None:
    made = assembly(statement("s3:GetObject", f"{BUCKET}/*"))
    with pytest.raises(RehearsalError, match="nothing was exercised"):
        summary(made, tmp_path)
    assert summary(made, tmp_path, exercised=False).statements == 0


def test_a_rehearsal_without_a_decision_fails(assembly: Callable[..., Assembly], tmp_path: Path) -> None:
    with pytest.raises(RehearsalError, match="enforcement does not work"):
        summary(assembly(), tmp_path, exercised=False, decisions=0)


def test_a_denial_is_one_line_with_role_action_resource_policy_and_source(assembly: Callable[..., Assembly]) -> None:
    denial = {
        "principal": ROLE,
        "action": "s3:PutObject",
        "resource": f"{BUCKET}/a",
        "policy": "Own",
        "why": "no statement allows it",
    }
    assert list(permissions.denials(Decided(denied=[denial]), assembly().folder)) == [
        f"one/Reader: s3:PutObject on {BUCKET}/a denied: no statement allows it; its policies: Own; "
        "the role is created at stacks/one.py:12"
    ]


def test_a_function_that_calls_with_the_accounts_own_key_is_a_denial(assembly: Callable[..., Assembly]) -> None:
    calls = Decided(as_root=["s3:GetObject on arn:aws:s3:::files/a"])
    assert list(permissions.denials(calls, assembly().folder)) == [
        "a function called s3:GetObject on arn:aws:s3:::files/a with the account's own key"
    ]
