from pathlib import Path
from typing import Any

import pytest

from delivery.destroy import __main__ as program
from delivery.destroy.protection import unprotected, without_protection
from delivery.destroy.remains import how_to_delete
from delivery.errors import DeliveryError
from delivery.teardown import Plan, plan

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
NETWORK = {
    "Resources": {"Vpc": VPC},
    "Outputs": {"Vpc": {"Value": {"Ref": "Vpc"}, "Export": {"Name": "prod-Network:Vpc"}}},
}
IMPORTED = {"Fn::ImportValue": "prod-Network:Vpc"}


def group(policy: str) -> dict[str, Any]:
    properties = {"GroupDescription": "database", "VpcId": IMPORTED}
    return {
        "Resources": {"Group": {"Type": "AWS::EC2::SecurityGroup", "DeletionPolicy": policy, "Properties": properties}}
    }


def test_without_anything_that_is_kept_every_stack_goes(make_stack: Any) -> None:
    """Row 105, R-10."""
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Delete"), "prod-Metadata")]
    assert plan(stacks) == Plan(("prod/Network", "prod/Metadata"), {}, (), ())


def test_what_is_kept_in_the_network_keeps_its_stack_and_what_that_needs(make_stack: Any) -> None:
    bucket = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}}}
    stacks = [
        make_stack(NETWORK, "prod-Network"),
        make_stack(group("Retain"), "prod-Metadata"),
        make_stack(bucket, "prod-Data"),
    ]
    found = plan(stacks)
    assert found.goes == ("prod/Data",)
    assert found.stays == {
        "prod/Network": "needed by prod/Metadata",
        "prod/Metadata": "Group is kept, and lies in the network",
    }
    assert [one.id for one in found.kept] == ["Bucket"]


def test_what_somebody_has_deleted_holds_nothing_any_more(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Retain"), "prod-Metadata")]
    assert plan(stacks, gone=frozenset({("prod-Metadata", "Group")})).stays == {}


def test_the_deployed_templates_decide_and_not_those_of_now(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Delete"), "prod-Metadata")]
    deployed = {"prod-Network": NETWORK, "prod-Metadata": group("Retain")}
    assert list(plan(stacks, templates=deployed).stays) == ["prod/Network", "prod/Metadata"]


def test_a_stack_that_is_not_deployed_is_left_out(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Delete"), "prod-Metadata")]
    assert plan(stacks, templates={"prod-Network": NETWORK}).goes == ("prod/Network",)


def test_what_goes_is_no_longer_protected_and_what_is_kept_still_is() -> None:
    attributes = [{"Key": "deletion_protection.enabled", "Value": "true"}, {"Key": "idle_timeout", "Value": "60"}]
    cluster = {"Type": "AWS::EKS::Cluster", "Properties": {"DeletionProtection": True, "Version": "1.35"}}
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {"DeletionProtectionEnabled": True},
        "DeletionPolicy": "Retain",
    }
    balancer = {
        "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "Properties": {"LoadBalancerAttributes": attributes},
    }
    users = {"Type": "AWS::Cognito::UserPool", "Properties": {"DeletionProtection": "ACTIVE"}}
    guests = {"Type": "AWS::Cognito::UserPool", "Properties": {"DeletionProtection": "INACTIVE"}}
    before = {"Cluster": cluster, "Table": table, "Balancer": balancer, "Users": users, "Guests": guests}
    found = unprotected({"Resources": before})["Resources"]
    assert found["Users"]["Properties"] == {"DeletionProtection": "INACTIVE"}
    assert found["Guests"] == guests
    assert found["Cluster"]["Properties"] == {"DeletionProtection": False, "Version": "1.35"}
    assert found["Table"] == table
    assert found["Balancer"]["Properties"]["LoadBalancerAttributes"] == [
        {"Key": "deletion_protection.enabled", "Value": "false"},
        {"Key": "idle_timeout", "Value": "60"},
    ]


def test_only_stacks_that_are_protected_are_changed_before_they_go() -> None:
    protected = {"Cluster": {"Type": "AWS::EKS::Cluster", "Properties": {"DeletionProtection": True}}}
    changed = without_protection({"prod/Network": NETWORK, "prod/Cluster": {"Resources": protected}})
    assert list(changed) == ["prod/Cluster"]
    assert changed["prod/Cluster"]["Resources"]["Cluster"]["Properties"] == {"DeletionProtection": False}
    assert protected["Cluster"]["Properties"] == {"DeletionProtection": True}


def test_a_production_account_needs_a_second_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["prod", "--yes"]) == 1
    assert (
        capsys.readouterr().err
        == "prod: is a production account; say --production (PRODUCTION=1) too, if it is to go\n"
    )


@pytest.mark.parametrize("answer", ["", "yes", "prod"])
def test_anything_but_the_name_of_the_account_destroys_nothing(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: answer)
    with pytest.raises(DeliveryError, match="nothing was destroyed"):
        program._confirm("dev", Plan(("dev/Network",), {}, (), ()), "111111111111")


def test_the_name_of_the_account_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "dev")
    program._confirm("dev", Plan(("dev/Network",), {}, (), ()), "111111111111")
    assert asked == ["Type dev to destroy 1 stacks of account 111111111111: "]


def test_without_a_terminal_nothing_is_destroyed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(DeliveryError, match="say --yes"):
        program._confirm("dev", Plan(("dev/Network",), {}, (), ()), "111111111111")


@pytest.mark.parametrize(
    ("type", "words"),
    [
        ("AWS::RDS::DBInstance", "--final-db-snapshot-identifier db-1-last"),
        ("AWS::S3::Bucket", "empty it, versions included"),
        ("AWS::Glue::Database", "aws cloudcontrol delete-resource --type-name AWS::Glue::Database --identifier 'db-1'"),
    ],
)
def test_each_thing_that_is_left_comes_with_what_deletes_it(type: str, words: str) -> None:
    """R-11."""
    assert words in how_to_delete(type, "db-1")


def test_an_app_that_does_not_synthesize_ends_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["dev", "--yes", "--assembly", str(tmp_path)]) == 1
    assert "no cloud assembly" in capsys.readouterr().err
