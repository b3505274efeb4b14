"""How the deployed templates are had: what counts as deployed, and in which form CloudFormation hands it out."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

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
def test_a_stack_that_was_made_is_deployed(status: str, make_stack: Any) -> None:
    reader: Any = CloudFormation(status)
    assert deployed.templates([make_stack({})], reader) == {"prod-Test": TEMPLATE}


@pytest.mark.parametrize(
    "status", ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "Stack with id prod-Test does not exist"]
)
def test_a_stack_that_was_never_made_is_not(status: str, make_stack: Any) -> None:
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


def test_a_refusal_of_cloudformation_is_told_with_the_stack(make_stack: Any) -> None:
    reader: Any = CloudFormation("not authorized")
    with pytest.raises(DeliveryError, match="prod-Test: .*not authorized"):
        deployed.templates([make_stack({})], reader)
