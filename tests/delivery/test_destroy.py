from contextlib import nullcontext as does_not_raise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from delivery.assembly import stacks_of
from delivery.destroy import __main__ as program
from delivery.destroy.protection import unprotected, without_protection
from delivery.destroy.remains import Deployed, how_to_delete
from delivery.destroy.running import refuse_running_applications, refuse_running_jobs
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


@pytest.mark.promise("ordered-removal")
def test_without_retained_resources_every_stack_is_destroyed(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Delete"), "prod-Metadata")]
    assert plan(stacks) == Plan(("prod/Network", "prod/Metadata"), {}, (), ())


def test_a_retained_resource_in_the_network_keeps_its_stack_and_dependencies(make_stack: Any) -> None:
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
        "prod/Metadata": "Group is retained and is in the network",
    }
    assert [one.id for one in found.kept] == ["Bucket"]


def test_a_deleted_resource_keeps_no_stack(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Retain"), "prod-Metadata")]
    assert plan(stacks, gone=frozenset({("prod-Metadata", "Group")})).stays == {}


def test_the_deployed_templates_decide_and_not_those_of_now(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Delete"), "prod-Metadata")]
    deployed = {"prod-Network": NETWORK, "prod-Metadata": group("Retain")}
    assert list(plan(stacks, templates=deployed).stays) == ["prod/Network", "prod/Metadata"]


def test_a_stack_that_is_not_deployed_is_omitted(make_stack: Any) -> None:
    stacks = [make_stack(NETWORK, "prod-Network"), make_stack(group("Delete"), "prod-Metadata")]
    assert plan(stacks, templates={"prod-Network": NETWORK}).goes == ("prod/Network",)


def test_only_retained_resources_stay_protected() -> None:
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


def test_only_protected_stacks_are_changed_before_destruction() -> None:
    protected = {"Cluster": {"Type": "AWS::EKS::Cluster", "Properties": {"DeletionProtection": True}}}
    changed = without_protection({"prod/Network": NETWORK, "prod/Cluster": {"Resources": protected}})
    assert list(changed) == ["prod/Cluster"]
    assert changed["prod/Cluster"]["Resources"]["Cluster"]["Properties"] == {"DeletionProtection": False}
    assert protected["Cluster"]["Properties"] == {"DeletionProtection": True}


def test_a_production_account_needs_a_second_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["prod", "--yes"]) == 1
    assert capsys.readouterr().err == "prod: is a production account; to destroy it, add --production (PRODUCTION=1)\n"


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
    def closed(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    with pytest.raises(DeliveryError, match="add --yes"):
        program._confirm("dev", Plan(("dev/Network",), {}, (), ()), "111111111111")


class Applications:
    """EMR Serverless with one application in a state."""

    def __init__(self, state: str) -> None:
        self.state = state

    def client(self, service: str, stack: Any) -> "Applications":
        assert service == "emr-serverless"
        return self

    def get_application(self, *, applicationId: str) -> dict[str, Any]:
        if self.state == "deleted":
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": applicationId}}, "Get")
        return {"application": {"state": self.state}}


def with_application(make_stack: Any) -> Deployed:
    resources = {"Application": ("AWS::EMRServerless::Application", "00f1"), "Role": ("AWS::IAM::Role", "role")}
    return Deployed(make_stack({}, "dev-Workloads"), "arn", resources, {})


def test_an_application_that_runs_refuses_the_destruction_with_the_command_that_stops_it(
    make_stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    command = "dev-Workloads: application 00f1 .* is STARTED.*aws emr-serverless stop-application --application-id 00f1"
    with pytest.raises(DeliveryError, match=command):
        refuse_running_applications([with_application(make_stack)], Applications("STARTED"))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["CREATED", "STOPPED", "deleted"])
def test_a_stopped_or_deleted_application_refuses_no_destruction(
    state: str, make_stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with does_not_raise():
        refuse_running_applications([with_application(make_stack)], Applications(state))  # type: ignore[arg-type]


class Interfaces:
    """Answers for EC2 with the network interfaces in each security group."""

    def __init__(self, **by_group: list[str]) -> None:
        self.by_group = by_group

    def client(self, service: str, stack: Any) -> "Interfaces":
        assert service == "ec2"
        return self

    def get_paginator(self, operation: str) -> "Interfaces":
        assert operation == "describe_network_interfaces"
        return self

    def paginate(self, *, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: N803
        (only,) = Filters
        found = [id for group in only["Values"] for id in self.by_group.get(group, [])]
        return [{"NetworkInterfaces": [{"NetworkInterfaceId": id} for id in found]}]


def with_groups(make_stack: Any) -> Deployed:
    groups = {"TeamschurnSageMakerSecurityGroup1": "sg1", "TeamschurnEmrClusterGroup1": "sg2", "Other": "sg3"}
    resources = {name: ("AWS::EC2::SecurityGroup", id) for name, id in groups.items()}
    return Deployed(make_stack({}, "dev-Workloads"), "arn", resources, {})


def test_each_security_group_of_jobs_is_one_that_the_destruction_asks_about(
    assembly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    [stack] = [each for each in stacks_of("local", assembly) if each.name == "local-Workloads"]
    groups = {name: ("AWS::EC2::SecurityGroup", name) for name in stack.resources("AWS::EC2::SecurityGroup")}
    assert len(groups) == 4
    for name in groups:
        reader: Any = Interfaces(**{name: ["eni-1"]})
        with pytest.raises(DeliveryError, match="local-Workloads: jobs still run"):
            refuse_running_jobs([Deployed(stack, "arn", groups, {})], reader)


def test_instances_of_a_job_refuse_the_destruction_with_the_commands_that_list_jobs(
    make_stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    reader: Any = Interfaces(sg1=["eni-1"], sg2=["eni-2", "eni-3", "eni-4"])
    with pytest.raises(DeliveryError, match="dev-Workloads: jobs .* eni-1, eni-2, eni-3 and 1 more; .*aws emr list-cl"):
        refuse_running_jobs([with_groups(make_stack)], reader)


def test_other_interfaces_refuse_no_destruction(make_stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    reader: Any = Interfaces(sg3=["eni-1"])
    with does_not_raise():
        refuse_running_jobs([with_groups(make_stack)], reader)


@pytest.mark.promise("no-leftovers")
@pytest.mark.parametrize(
    ("type", "words"),
    [
        ("AWS::RDS::DBInstance", "--final-db-snapshot-identifier db-1-last"),
        ("AWS::S3::Bucket", "empty it, including all versions"),
        ("AWS::Glue::Database", "aws cloudcontrol delete-resource --type-name AWS::Glue::Database --identifier 'db-1'"),
    ],
)
def test_each_remaining_resource_is_listed_with_its_deletion_command(type: str, words: str) -> None:
    assert words in how_to_delete(type, "db-1")


def test_a_failed_synthesis_ends_with_the_output_of_the_app(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["dev", "--yes", "--assembly", str(tmp_path)]) == 1
    assert "no cloud assembly" in capsys.readouterr().err
