"""How the deployed templates are had: what counts as deployed, and in which form CloudFormation hands it out."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from config.tags import STAGE
from delivery.errors import DeliveryError
from delivery.gate import deployed

TEMPLATE = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
YAML = (
    "Resources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties:\n      FifoQueue: true\n      DelaySeconds: 5\n"
)


class CloudFormation:
    """Answers for one stack.

    :param status: its status, or an error's message.
    """

    def __init__(self, status: str, body: Any = TEMPLATE) -> None:
        self._status = status
        self._body = body

    def client(self, service: str, stack: object) -> "CloudFormation":
        assert service == "cloudformation"
        return self

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if not self._status.isupper():
            raise ClientError({"Error": {"Code": "ValidationError", "Message": self._status}}, "DescribeStacks")
        return {"Stacks": [{"StackStatus": self._status}]}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:  # noqa: N803
        assert TemplateStage == "Original"
        return {"TemplateBody": self._body}


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS"])
def test_a_created_stack_is_deployed(status: str, make_stack: Any) -> None:
    reader: Any = CloudFormation(status)
    assert deployed.templates([make_stack({})], reader) == {"prod-Test": TEMPLATE}


@pytest.mark.parametrize(
    "status", ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "Stack with id prod-Test does not exist"]
)
def test_a_stack_that_was_never_created_is_not_deployed(status: str, make_stack: Any) -> None:
    reader: Any = CloudFormation(status)
    assert deployed.templates([make_stack({})], reader) == {}


def test_what_a_failed_first_deployment_left_can_be_destroyed(make_stack: Any) -> None:
    reader: Any = CloudFormation("ROLLBACK_COMPLETE")
    assert deployed.templates([make_stack({})], reader, with_failed=True) == {"prod-Test": TEMPLATE}


def test_a_short_template_comes_as_yaml(make_stack: Any) -> None:
    reader: Any = CloudFormation("CREATE_COMPLETE", YAML)
    properties = {"FifoQueue": "true", "DelaySeconds": "5"}
    assert deployed.templates([make_stack({})], reader) == {
        "prod-Test": {"Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": properties}}}
    }


def test_a_refusal_of_cloudformation_is_reported_with_the_stack(make_stack: Any) -> None:
    reader: Any = CloudFormation("not authorized")
    with pytest.raises(DeliveryError, match="prod-Test: .*not authorized"):
        deployed.templates([make_stack({})], reader)


class Regions:
    """An account with stacks in several Regions.

    :param stacks: name and tag of each stack, by Region.
    :param closed: Regions whose use the organization denies.
    """

    def __init__(self, stacks: dict[str, list[tuple[str, str | None]]], closed: tuple[str, ...] = ()) -> None:
        self._stacks = stacks
        self._closed = closed

    def client(self, service: str, stack: Any, *, region: str | None = None) -> "Region":
        here = region or stack.region
        return Region(self._stacks.get(here, []), list(self._stacks), is_closed=here in self._closed)


class Region:
    def __init__(self, stacks: list[tuple[str, str | None]], regions: list[str], *, is_closed: bool) -> None:
        self._stacks = stacks
        self._regions = regions
        self._is_closed = is_closed

    def describe_regions(self) -> dict[str, Any]:
        return {"Regions": [{"RegionName": name} for name in self._regions]}

    def get_paginator(self, operation: str) -> "Region":
        assert operation == "describe_stacks"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        if self._is_closed:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "denied by a policy"}}, "DescribeStacks")
        tags = {name: [{"Key": STAGE, "Value": tag}] if tag else [] for name, tag in self._stacks}
        return [
            {"Stacks": [{"StackName": name, "StackStatus": "CREATE_COMPLETE", "Tags": tags[name]}]} for name in tags
        ]

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:  # noqa: N803
        return {"TemplateBody": TEMPLATE}


def test_a_stack_that_is_no_longer_part_of_the_account_is_found_by_its_tag(make_stack: Any) -> None:
    reader: Any = Regions({"eu-west-1": [("prod-Test", "prod"), ("prod-Old", "prod")]})
    assert list(deployed.forgotten("prod", [make_stack({})], reader)) == ["prod-Old"]


@pytest.mark.parametrize("tag", [None, "prod-eu"])
def test_a_stack_of_others_whose_name_begins_alike_is_not_ours(tag: str | None, make_stack: Any) -> None:
    reader: Any = Regions({"eu-west-1": [("prod-Test", "prod"), ("prod-eu-Network", tag)]})
    assert deployed.forgotten("prod", [make_stack({})], reader) == {}


def test_a_stack_is_found_in_a_region_that_no_stack_is_in_any_more(make_stack: Any) -> None:
    reader: Any = Regions({"eu-west-1": [("prod-Test", "prod")], "eu-central-1": [("prod-StorageReplica", "prod")]})
    assert list(deployed.forgotten("prod", [make_stack({})], reader)) == ["prod-StorageReplica --region eu-central-1"]


def test_the_same_name_in_another_region_is_another_stack(make_stack: Any) -> None:
    reader: Any = Regions({"eu-west-1": [], "us-east-1": [("prod-Test", "prod")]})
    assert list(deployed.forgotten("prod", [make_stack({})], reader)) == ["prod-Test --region us-east-1"]


def test_a_region_that_the_organization_closes_has_nothing_of_ours(make_stack: Any) -> None:
    reader: Any = Regions({"eu-west-1": [], "ap-south-1": [("prod-Old", "prod")]}, closed=("ap-south-1",))
    assert deployed.forgotten("prod", [make_stack({})], reader) == {}


def test_a_region_of_the_account_that_cannot_be_asked_is_an_error(make_stack: Any) -> None:
    reader: Any = Regions({"eu-west-1": []}, closed=("eu-west-1",))
    with pytest.raises(DeliveryError, match="prod: .*denied by a policy"):
        deployed.forgotten("prod", [make_stack({})], reader)
