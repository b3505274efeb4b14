"""The record of a rehearsal's calls says what the platform of now calls."""

import json
from pathlib import Path

import pytest

from assurance.permissions import rehearsed, workloads
from assurance.permissions.conditions import like
from assurance.permissions.evaluator import ask
from assurance.permissions.filler import Filler
from assurance.permissions.world import World
from delivery.assembly import Stack

ACCOUNT = "000000000000"
CALLS_NOTHING = {
    "*/Custom::S3AutoDeleteObjectsCustomResourceProvider/Role": "empties buckets by these buckets' own policies",
    "*/CredentialPropagation/Role": "waits",
    "*/SignOut/Role": "answers a browser",
    "*/Gate/Role": "answers Cognito",
}
"""Roles of functions that call nothing of AWS's by rights of their own, and what these do."""


def test_every_recorded_role_and_resource_is_one_of_the_platform(stacks: tuple[Stack, ...]) -> None:
    local = World.of([stack for stack in stacks if stack.id.startswith("local/")])
    unknown = []
    for call in rehearsed.load():
        for role in local.by_path.get(call.role, ()) or [None]:
            if role is None or not [*Filler(local, role).resources(call.resource)]:
                unknown.append(call)
    assert unknown == []


def test_every_recorded_call_is_allowed_by_the_templates_of_the_account_that_made_it(
    stacks: tuple[Stack, ...],
) -> None:
    local = World.of([stack for stack in stacks if stack.id.startswith("local/")])
    needs = list(rehearsed.needs(local))
    assert needs
    assert [str(need) for need in needs if not ask(local, need.request)] == []


def test_every_function_is_in_the_record_or_in_the_table(stacks: tuple[Stack, ...]) -> None:
    local = World.of([stack for stack in stacks if stack.id.startswith("local/")])
    known = {call.role for call in rehearsed.load()}
    roles = {local.roles[local.get(one, "Role")].path for one in local.resources("AWS::Lambda::Function")}
    tabled = {path for path in roles for line in workloads.lines() if workloads.is_of(line, path)}
    silent = {role for role in roles - known - tabled if not any(like(role, each) for each in CALLS_NOTHING)}
    assert silent == set()


def test_a_run_that_calls_something_else_than_the_record_is_told_apart(stacks: tuple[Stack, ...]) -> None:
    local = World.of([stack for stack in stacks if stack.id.startswith("local/")])
    pod = next(iter(local.resources("AWS::EKS::PodIdentityAssociation")))
    of_pod = rehearsed.Call(local.roles[local.get(pod, "RoleArn")].path, "sts:GetCallerIdentity", "*")
    one, two = (rehearsed.Call("Data/Models/CheckRole", f"s3:{name}", "*") for name in ("GetObject", "PutObject"))
    assert list(rehearsed.differences(local, [one, of_pod], [one])) == []
    assert list(rehearsed.differences(local, [one], [two])) == [
        "Data/Models/CheckRole: s3:GetObject: not recorded",
        "Data/Models/CheckRole: s3:PutObject: recorded, but no longer made",
    ]
    assert list(rehearsed.differences(local, [], [two], whole=False)) == []


def test_a_run_renews_the_calls_of_its_roles_only() -> None:
    former, new, other = (
        rehearsed.Call(role, action, "*")
        for role, action in (("a", "s3:GetObject"), ("a", "s3:PutObject"), ("b", "x:y"))
    )
    assert rehearsed.merged([former, other], [new]) == [new, other]


@pytest.fixture
def names(tmp_path: Path) -> rehearsed.Names:
    """Names of a stack with a cluster, a bucket and a role."""
    resources = {
        "Cluster": {"Type": "AWS::EKS::Cluster"},
        "Files": {"Type": "AWS::S3::Bucket"},
        "Role": {"Type": "AWS::IAM::Role"},
    }
    (tmp_path / "template.json").write_text(json.dumps({"Resources": resources}), encoding="utf-8")
    stack = Stack("local/Data", "local-Data", ACCOUNT, "us-east-1", tmp_path / "template.json")
    physical = [
        ["local-Data", "Cluster", "training-1"],
        ["local-Data", "Files", "files-1"],
        ["local-Data", "Role", "r1"],
    ]
    return rehearsed.Names([stack], physical)


@pytest.mark.parametrize(
    ("text", "general"),
    [
        ("arn:aws:s3:::files-1/a/b", "{Data/Files}/a/b"),
        (f"arn:aws:eks:us-east-1:{ACCOUNT}:cluster/training-1", "{Data/Cluster}"),
        (
            f"arn:aws:eks:us-east-1:{ACCOUNT}:nodegroup/training-1/any/any",
            "arn:aws:eks:{region}:{account}:nodegroup/{cluster}/any/any",
        ),
        ("arn:aws:ssm:us-east-1::parameter/aws/service/x", "arn:aws:ssm:{region}::parameter/aws/service/x"),
        ("arn:aws:s3:::others/a", "arn:aws:s3:::others/a"),
        ("*", "*"),
    ],
)
def test_what_a_run_names_is_called_the_same_in_every_account(names: rehearsed.Names, text: str, general: str) -> None:
    assert names.general(text) == general


def test_what_differs_from_run_to_run_is_not_recorded(names: rehearsed.Names, tmp_path: Path) -> None:
    stack = Stack("local/Data", "local-Data", ACCOUNT, "us-east-1", tmp_path / "template.json")
    physical = [["local-Data", "Role", "local-Data-Role"], ["local-Data", "Files", "files-1"]]
    made = {"s3:GetObject": {"arn:aws:s3:::files-1/a": {}, "arn:aws:s3:::cdk-assets/1": {}}}
    found = rehearsed.calls([stack], physical, {f"arn:aws:iam::{ACCOUNT}:role/local-Data-Role": made})
    assert found == [rehearsed.Call("Data/Role", "s3:GetObject", "{Data/Files}/a")]
