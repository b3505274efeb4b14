"""Permissions are needed or have a reason, and removed statements are detected."""

import json
from collections.abc import Callable

import pytest

from assurance.permissions import rehearsed, services, unused, workloads
from assurance.permissions.needs import Need
from assurance.permissions.proved import UNPROVED, proofs, unproved
from assurance.permissions.unused import Kept, Unused, kept
from assurance.permissions.world import World

RIGHTS_WITHOUT_NEED = 65
SHORTEST_REASON = 40
"""Characters; fewer give no reason that a reviewer could judge."""
Changed = Callable[[str, Callable[[str], str]], World]


def everything(world: World) -> list[Need]:
    return [*services.needs(world), *workloads.needs(world), *rehearsed.needs(world)]


@pytest.fixture(scope="session")
def needs(world: World) -> list[Need]:
    return everything(world)


@pytest.mark.promise("permissions-recorded")
def test_every_right_is_needed_or_has_a_reason(world: World, needs: list[Need]) -> None:
    assert list(unused.judge(unused.unused(world, needs), kept())) == []


def test_the_rights_without_need_do_not_grow_in_number() -> None:
    """Lower the number with each that goes; a higher one is a decision."""
    assert sum(len(line.rights) for line in kept()) == RIGHTS_WITHOUT_NEED
    assert all(len(line.reason) > SHORTEST_REASON for line in kept())


@pytest.mark.promise("permissions-recorded")
def test_a_policy_of_aws_that_nothing_needs_is_found(changed: Changed) -> None:
    policy = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    more = changed("prod-Metadata", lambda text: with_policy(text, policy))
    found = unused.unused(more, everything(more))
    assert Unused("Metadata/Database/Users/Role", "all of AmazonSSMManagedInstanceCore") in found


def with_policy(text: str, policy: str) -> str:
    """The template with a policy for each role that a function takes."""
    template = json.loads(text)
    for one in template["Resources"].values():
        if one["Type"] == "AWS::IAM::Role" and "lambda" in json.dumps(one["Properties"]["AssumeRolePolicyDocument"]):
            one["Properties"]["ManagedPolicyArns"] = [policy]
    return json.dumps(template)


@pytest.mark.promise("permissions-recorded")
def test_a_right_that_nothing_needs_is_found(changed: Changed) -> None:
    more = changed(
        "prod-Data", lambda text: text.replace('"glue:GetTableVersions"', '"glue:GetTableVersions", "glue:GetTags"')
    )
    found = unused.unused(more, everything(more))
    assert any(one.right == "glue:GetTags" for one in found)


def test_a_reason_without_a_right_is_found() -> None:
    line = Kept("Data/Role", ("s3:GetObject", "s3:PutObject"), "because")
    assert list(unused.judge([Unused("Data/Role", "s3:GetObject")], [line])) == [
        "Data/Role: s3:PutObject: it is needed, or gone; remove it from kept_rights.toml"
    ]


def test_without_a_statement_something_is_refused_or_its_reason_is_known(world: World, needs: list[Need]) -> None:
    found = list(proofs(world, needs))
    assert sum(proof.missed is not None for proof in found) > len(found) / 2
    assert sorted(set(unproved(found))) == []


def test_every_role_that_proves_nothing_has_a_reason_to(world: World) -> None:
    paths = set(world.by_path)
    assert [role for role in UNPROVED if not any(unused.like(path, role) for path in paths)] == []
