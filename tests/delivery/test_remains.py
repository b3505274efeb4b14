"""What is told to be left after a destruction, of an AWS that answers as it is set up to."""

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


def test_what_the_template_keeps_is_kept_on_purpose(stock: tuple[Deployed, ...]) -> None:
    """R-11. Of a custom resource nothing is left in the account."""
    found = look(stock)
    assert whats(found.kept) == [
        "AWS::DynamoDB::Table features in eu-west-1",
        "a snapshot of AWS::RDS::DBInstance db in eu-west-1",
    ]
    assert found.unexpected == []


def test_a_stack_that_was_not_deleted_is_left_with_its_reason(stock: tuple[Deployed, ...]) -> None:
    (left,) = look(stock, status="DELETE_FAILED").unexpected
    assert left == Left("stack prod-Test: DELETE_FAILED", "in use; then destroy again")


def test_the_log_of_a_function_that_lambda_made_is_told_apart(stock: tuple[Deployed, ...]) -> None:
    found = look(stock, logs=("/aws/lambda/helper", "/aws/lambda/helper-of-others"))
    assert whats(found.by_lambda) == ["log group /aws/lambda/helper in eu-west-1"]


@pytest.mark.parametrize(
    "tag", ["elbv2.k8s.aws/cluster", "kubernetes.io/cluster/training", "cluster.k8s.amazonaws.com/name"]
)
def test_what_a_controller_made_is_found_by_its_tag(tag: str, stock: tuple[Deployed, ...]) -> None:
    assert whats(look(stock, tagged={tag: [LOAD_BALANCER]}).unexpected) == [f"{LOAD_BALANCER} of cluster training"]


@pytest.mark.parametrize(("state", "left"), [("running", 1), ("terminated", 0), ("shutting-down", 0)])
def test_a_node_that_is_gone_is_not_left(state: str, left: int, stock: tuple[Deployed, ...]) -> None:
    """EC2 lists it for an hour."""
    found = look(stock, tagged={"kubernetes.io/cluster/training": [INSTANCE]}, instances={"i-1": state})
    assert len(found.unexpected) == left


def test_a_kept_resource_that_somebody_deleted_lets_its_stack_go(
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
    assert program._gone(plan([stack]), stock, there) == frozenset()
    assert program._gone(plan([stack]), stock, gone) == {("prod-Test", "Group")}


def test_what_holds_a_stack_is_listed_in_the_order_of_its_deletion(make_stack: Any) -> None:
    """A database before the group that it is in."""
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
