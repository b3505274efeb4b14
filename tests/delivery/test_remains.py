"""The report of remaining resources after a destruction, with a fake AWS."""

import dataclasses
from typing import Any

import pytest
from botocore.exceptions import ClientError

from delivery.destroy import __main__ as program
from delivery.destroy import remains
from delivery.destroy.remains import Deployed, Left
from delivery.teardown import plan

ARN = "arn:aws:cloudformation:eu-west-1:111111111111:stack/prod-Test/1"
LOAD_BALANCER = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:loadbalancer/app/k8s/1"
INSTANCE = "arn:aws:ec2:eu-west-1:111111111111:instance/i-1"


class Aws:
    """Stands in for the clients of an account.

    :param status: of the stack.
    :param tagged: ARNs by the key of the tag that finds them.
    :param instances: states by id.
    :param logs: names of log groups.
    :param gone: identifiers that Cloud Control does not find.
    """

    def __init__(
        self,
        *,
        status: str = "DELETE_COMPLETE",
        tagged: dict[str, list[str]] | None = None,
        instances: dict[str, str] | None = None,
        logs: tuple[str, ...] = (),
        gone: tuple[str, ...] = (),
    ) -> None:
        self._status = status
        self._tagged = tagged or {}
        self._instances = instances or {}
        self._logs = logs
        self._gone = gone

    def client(self, service: str, stack: object) -> Any:
        return self

    def describe_stacks(self, **asked: str) -> dict[str, Any]:
        return {"Stacks": [{"StackId": ARN, "StackStatus": self._status, "StackStatusReason": "in use"}]}

    def describe_log_groups(self, *, logGroupNamePrefix: str) -> dict[str, Any]:  # noqa: N803
        return {"logGroups": [{"logGroupName": one} for one in self._logs if one.startswith(logGroupNamePrefix)]}

    def get_paginator(self, name: str) -> Any:
        assert name == "get_resources"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        (tag,) = asked["TagFilters"]
        return [{"ResourceTagMappingList": [{"ResourceARN": one} for one in self._tagged.get(tag["Key"], ())]}]

    def describe_instances(self, *, Filters: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        (name,) = Filters[0]["Values"]
        found = [{"State": {"Name": self._instances[name]}}] if name in self._instances else []
        return {"Reservations": [{"Instances": found}]}

    def get_resource(self, *, TypeName: str, Identifier: str) -> dict[str, Any]:  # noqa: N803
        if Identifier in self._gone:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}, "GetResource")
        return {}


@pytest.fixture
def stock(make_stack: Any) -> tuple[Deployed, ...]:
    """A stack with one resource of each sort."""
    resources = {
        "Table": ("AWS::DynamoDB::Table", "features"),
        "Database": ("AWS::RDS::DBInstance", "db"),
        "Definitions": ("Custom::AWSCDK-EKS-KubernetesResource", "x"),
        "Queue": ("AWS::SQS::Queue", "q"),
        "Function": ("AWS::Lambda::Function", "helper"),
        "Cluster": ("AWS::EKS::Cluster", "training"),
    }
    policies = {"Table": "Retain", "Database": "Snapshot", "Definitions": "Retain"}
    return (Deployed(make_stack({}), ARN, resources, policies),)


def look(stock: tuple[Deployed, ...], **aws: Any) -> remains.Remains:
    reader: Any = Aws(**aws)
    return remains.look(stock, reader)


def whats(items: list[Left]) -> list[str]:
    return [one.what for one in items]


@pytest.mark.promise("no-leftovers")
def test_resources_that_the_template_retains_are_listed_as_retained(stock: tuple[Deployed, ...]) -> None:
    """A custom resource leaves nothing in the account."""
    found = look(stock)
    assert whats(found.kept) == [
        "AWS::DynamoDB::Table features in eu-west-1",
        "a snapshot of AWS::RDS::DBInstance db in eu-west-1",
    ]
    assert found.unexpected == []


def test_a_stack_that_was_not_deleted_is_left_with_its_reason(stock: tuple[Deployed, ...]) -> None:
    (left,) = look(stock, status="DELETE_FAILED").unexpected
    assert left == Left("stack prod-Test: DELETE_FAILED", "in use; then destroy again")


def test_the_log_of_a_function_that_lambda_made_is_distinguished(stock: tuple[Deployed, ...]) -> None:
    found = look(stock, logs=("/aws/lambda/helper", "/aws/lambda/helper-of-others"))
    assert whats(found.by_lambda) == ["log group /aws/lambda/helper in eu-west-1"]


GROUP = "/aws/eks/training/cluster"


@pytest.mark.promise("no-leftovers")
def test_the_log_group_that_eks_made_again_is_told_with_what_deletes_it(stock: tuple[Deployed, ...]) -> None:
    found = look(stock, logs=(GROUP, f"{GROUP}-of-others"))
    assert found.by_eks == [
        Left(f"log group {GROUP} in eu-west-1", f"aws logs delete-log-group --log-group-name '{GROUP}'")
    ]
    assert found.unexpected == []


def test_the_log_group_of_a_cluster_that_is_kept_on_purpose_is_told_once(make_stack: Any) -> None:
    resources = {"Cluster": ("AWS::EKS::Cluster", "training"), "Logs": ("AWS::Logs::LogGroup", GROUP)}
    kept = (Deployed(make_stack({}), ARN, resources, {"Logs": "RetainExceptOnCreate"}),)
    found = look(kept, logs=(GROUP,))
    assert whats(found.kept) == [f"AWS::Logs::LogGroup {GROUP} in eu-west-1"]
    assert found.by_eks == []


@pytest.mark.parametrize(
    "tag", ["elbv2.k8s.aws/cluster", "kubernetes.io/cluster/training", "cluster.k8s.amazonaws.com/name"]
)
def test_what_a_controller_made_is_found_by_its_tag(tag: str, stock: tuple[Deployed, ...]) -> None:
    assert whats(look(stock, tagged={tag: [LOAD_BALANCER]}).unexpected) == [f"{LOAD_BALANCER} of cluster training"]


VOLUME = "arn:aws:ec2:eu-west-1:111111111111:volume/vol-1"


@pytest.mark.promise("no-leftovers")
@pytest.mark.parametrize("tag", ["kubernetes.io/cluster/training", "ebs.csi.aws.com/cluster-name"])
def test_disks_of_claims_are_kept_on_purpose_where_data_is_kept(tag: str, stock: tuple[Deployed, ...]) -> None:
    kept = tuple(dataclasses.replace(one, keeps_volumes=True) for one in stock)
    found = look(kept, tagged={tag: [VOLUME, LOAD_BALANCER]})
    disk = Left("disk vol-1 of a claim of cluster training in eu-west-1", "aws ec2 delete-volume --volume-id vol-1")
    assert disk in found.kept
    assert whats(found.unexpected) == [f"{LOAD_BALANCER} of cluster training"]


def test_disks_of_claims_should_have_gone_where_data_may_go(stock: tuple[Deployed, ...]) -> None:
    tagged = {"kubernetes.io/cluster/training": [VOLUME], "ebs.csi.aws.com/cluster-name": [VOLUME]}
    assert whats(look(stock, tagged=tagged).unexpected) == [f"{VOLUME} of cluster training"]


@pytest.mark.parametrize(("deletes", "keeps"), [("true", False), ("false", True), (True, False), (False, True)])
def test_the_guard_of_a_deployed_template_says_whether_disks_are_kept(
    deletes: object, keeps: bool, make_stack: Any
) -> None:
    guard = {"Guard": {"Type": "Custom::TeardownGuard", "Properties": {"DeleteVolumes": deletes}}}
    stacks = [make_stack({}, "prod-Cluster"), make_stack({"Resources": guard}, "prod-Services")]
    templates: dict[str, dict[str, Any]] = {"prod-Cluster": {"Resources": {}}, "prod-Services": {"Resources": guard}}
    reader: Any = Resources()
    assert [one.keeps_volumes for one in remains.take_stock(stacks, templates, reader)] == [keeps, keeps]


class Resources:
    """CloudFormation with stacks that have no resources."""

    def client(self, service: str, stack: object) -> Any:
        return self

    def describe_stacks(self, **asked: str) -> dict[str, Any]:
        return {"Stacks": [{"StackId": ARN}]}

    def get_paginator(self, name: str) -> Any:
        assert name == "list_stack_resources"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        return [{"StackResourceSummaries": []}]


@pytest.mark.parametrize(("state", "left"), [("running", 1), ("terminated", 0), ("shutting-down", 0)])
def test_a_terminated_node_is_not_listed(state: str, left: int, stock: tuple[Deployed, ...]) -> None:
    """EC2 lists it for an hour."""
    found = look(stock, tagged={"kubernetes.io/cluster/training": [INSTANCE]}, instances={"i-1": state})
    assert len(found.unexpected) == left


def test_a_stack_whose_retained_resource_was_deleted_can_be_destroyed(
    make_stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    group = {
        "Type": "AWS::EC2::SecurityGroup",
        "DeletionPolicy": "Retain",
        "Properties": {"GroupDescription": "database", "VpcId": {"Ref": "Vpc"}},
    }
    stack = make_stack({"Resources": {"Vpc": {"Type": "AWS::EC2::VPC"}, "Group": group}})
    stock = {stack.name: Deployed(stack, ARN, {"Group": ("AWS::EC2::SecurityGroup", "sg-1")}, {})}
    there: Any = Aws()
    gone: Any = Aws(gone=("sg-1",))
    assert program._deleted(plan([stack]), stock, there) == frozenset()
    assert program._deleted(plan([stack]), stock, gone) == {("prod-Test", "Group")}


def test_what_holds_a_stack_is_listed_in_the_order_of_its_deletion(make_stack: Any) -> None:
    """A database before its security group."""
    kept = {"DeletionPolicy": "Retain"}
    resources = {
        "Vpc": {"Type": "AWS::EC2::VPC"},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"VpcId": {"Ref": "Vpc"}}, **kept},
        "Database": {"Type": "AWS::RDS::DBInstance", "Properties": {"VPCSecurityGroups": [{"Ref": "Group"}]}, **kept},
    }
    stack = make_stack({"Resources": resources})
    ids = {id: (body["Type"], id.lower()) for id, body in resources.items()}
    found = program._holding(plan([stack]), {stack.name: Deployed(stack, ARN, ids, {})})
    assert whats(found) == [
        "AWS::RDS::DBInstance database of prod-Test",
        "AWS::EC2::SecurityGroup group of prod-Test",
    ]
