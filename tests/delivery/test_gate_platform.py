"""The gate on the platform itself: a setting changes, and the verdict is what an operator expects."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.loader import load_account
from config.schema import Account
from delivery.assembly import Stack, stacks_of
from delivery.gate.findings import Finding, Verdict
from delivery.gate.judgement import judge
from stacks.app import new_app
from stacks.stage import PlatformStage

Templates = dict[str, dict[str, Any]]


def synthesized(settings: Account, folder: Path) -> tuple[Stack, ...]:
    app = new_app(outdir=str(folder))
    PlatformStage(app, "dev", settings=settings)
    app.synth()
    return stacks_of("dev", folder)


@pytest.fixture(scope="module")
def dev() -> Account:
    return load_account("dev")


@pytest.fixture(scope="module")
def now(assembly: Path) -> tuple[Stack, ...]:
    """The platform of the account file."""
    return stacks_of("dev", assembly)


@pytest.fixture(scope="module")
def later(dev: Account, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, ...]:
    """The same with a larger database, one more cluster, and an administrator for the training cluster."""
    training = dev.clusters["training"]
    admins = training.access.model_copy(update={"admins": ("arn:aws:iam::111111111111:role/Admins",)})
    clusters = {
        **dev.clusters,
        "training": training.model_copy(update={"access": admins}),
        "batch": dev.clusters["inference"],
    }
    database = dev.database.model_copy(update={"instance_type": "r6g.large"})
    settings = dev.model_copy(update={"database": database, "clusters": clusters})
    return synthesized(settings, tmp_path_factory.mktemp("later") / "cdk.out")


@pytest.fixture
def edited(now: tuple[Stack, ...]) -> Callable[[str, Callable[[str], str]], Templates]:
    """What would be deployed now, with the text of one stack's template changed."""

    def edit(stack: str, change: Callable[[str], str]) -> Templates:
        found = templates(now)
        text = json.dumps(found[stack])
        assert change(text) != text
        return found | {stack: json.loads(change(text))}

    return edit


def templates(stacks: tuple[Stack, ...]) -> Templates:
    return {stack.name: stack.template for stack in stacks}


def serious(stacks: tuple[Stack, ...], before: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    return [one for one in judge(stacks, before).findings if one.verdict != Verdict.SAFE]


@pytest.mark.promise("repeatable")
def test_the_same_settings_change_nothing(now: tuple[Stack, ...]) -> None:
    assert judge(now, templates(now)).findings == ()


def test_a_larger_database_is_interrupted(now: tuple[Stack, ...], later: tuple[Stack, ...]) -> None:
    (found,) = [one for one in serious(later, templates(now)) if one.stack == "dev-Metadata"]
    assert (found.path, found.verdict, found.stops) == ("Database/Instance", "interrupting", False)
    assert found.what == "DBInstanceClass: db.t4g.medium -> db.r6g.large"


def test_one_more_cluster_is_new_and_may_reach_the_shared_files(
    now: tuple[Stack, ...], later: tuple[Stack, ...]
) -> None:
    judgement = judge(later, templates(now))
    assert set(judgement.new) == {"dev-BatchCluster", "dev-BatchServices"}
    assert not [one for one in judgement.findings if one.stack in judgement.new]
    (found,) = [one for one in judgement.findings if one.stops and one.stack == "dev-Storage"]
    assert (found.path, found.verdict) == ("Workspaces/SecurityGroup", "widening")
    assert "tcp 2049 from «dev-BatchCluster/" in found.what


def test_one_more_administrator_is_stopped_by_name(now: tuple[Stack, ...], later: tuple[Stack, ...]) -> None:
    found = [one for one in serious(later, templates(now)) if one.stack == "dev-TrainingCluster"]
    assert {(one.type, one.verdict, one.stops) for one in found} == {("AWS::EKS::AccessEntry", "widening", True)}
    assert any("role/Admins has access to the cluster" in one.what for one in found)


def test_another_address_space_is_stopped_with_all_that_stands_in_it(
    dev: Account, now: tuple[Stack, ...], edited: Any
) -> None:
    old = edited("dev-Network", lambda text: text.replace("10.32.", "10.33."))
    found = [one for one in serious(now, old) if one.stops]
    types = {one.type for one in found if one.stack == "dev-Network"}
    assert types == {"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "export"}
    followers = [one for one in serious(now, old) if one.stack == "dev-TrainingCluster"]
    assert {"AWS::EKS::Nodegroup", "AWS::EC2::SecurityGroup"} <= {one.type for one in followers}


@pytest.mark.promise("gate")
def test_a_renamed_construct_that_holds_data_is_stopped(now: tuple[Stack, ...], edited: Any) -> None:
    old = edited("dev-Storage", lambda text: text.replace("ModelsBucket970C6ADA", "RegistryBucket11111111"))
    found = [one for one in serious(now, old) if one.stops and one.type == "AWS::S3::Bucket"]
    assert [(one.resource, one.verdict) for one in found if one.verdict == "data-losing"] == [
        ("RegistryBucket11111111", "data-losing")
    ]
    assert "created again as ModelsBucket970C6ADA" in found[0].what


@pytest.mark.promise("gate")
def test_a_removal_policy_that_no_longer_keeps_is_stopped(now: tuple[Stack, ...], edited: Any) -> None:
    old = edited("dev-Data", lambda text: text.replace('"DeletionPolicy": "Delete"', '"DeletionPolicy": "Retain"'))
    found = [one for one in serious(now, old) if one.stops]
    assert "AWS::DynamoDB::Table" in {one.type for one in found}
    assert {one.what for one in found} == {"DeletionPolicy: Retain -> Delete"}


def test_new_code_of_every_function_is_safe(now: tuple[Stack, ...], edited: Any) -> None:
    old = edited("dev-Data", lambda text: text.replace('"S3Key": "', '"S3Key": "0'))
    assert serious(now, old) == []


@pytest.mark.promise("gate")
def test_a_permission_that_a_role_did_not_have_is_stopped(now: tuple[Stack, ...], edited: Any) -> None:
    old = edited("dev-TrainingServices", lambda text: text.replace('"autoscaling:SetDesiredCapacity", ', "", 1))
    found = [one for one in serious(now, old) if one.stops]
    assert [(one.path, one.verdict) for one in found] == [("Autoscaler", "widening")]
    assert "autoscaling:SetDesiredCapacity" in found[0].what


def test_a_right_in_the_cluster_that_a_group_did_not_have_is_stopped(now: tuple[Stack, ...], edited: Any) -> None:
    old = edited("dev-TrainingServices", lambda text: text.replace('\\"storageclasses\\",', "", 1))
    found = [one for one in serious(now, old) if one.stops]
    assert found
    assert {one.verdict for one in found} == {Verdict.WIDENING}
    assert all("storageclasses.storage.k8s.io" in one.what for one in found)
